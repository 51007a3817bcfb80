"""Running means over an epoch, which travel in the checkpoint so that a resumed epoch logs the same numbers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from dsrna.distributed import group


class Averages:
    """Weighted means by name.

    >>> averages = Averages()
    >>> averages.add("loss", 2.0, count=3)
    >>> averages.add("loss", 4.0, count=1)
    >>> averages.pop()
    {'loss': 2.5}
    """

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, name: str, mean: float | Tensor, count: int) -> None:
        """Adds ``count`` values with the given mean."""
        self._sums[name] = self._sums.get(name, 0.0) + float(mean) * count
        self._counts[name] = self._counts.get(name, 0) + count

    def mean(self, name: str) -> float:
        """The mean so far. Raises KeyError where nothing was added."""
        return self._sums[name] / self._counts[name]

    def count(self, name: str) -> int:
        """How many values were added so far."""
        return self._counts.get(name, 0)

    def means(self) -> dict[str, float]:
        """All means so far."""
        return {name: self.mean(name) for name in self._sums}

    def merge(self) -> None:
        """Takes in what every other process has added, each of which calls this at the same place."""
        self.load_state_dict(merged(group.gathered(self.state_dict())))

    def pop(self) -> dict[str, float]:
        """All means; starts anew."""
        means = self.means()
        self._sums, self._counts = {}, {}
        return means

    def state_dict(self) -> dict[str, dict[str, float] | dict[str, int]]:
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, dict[str, float]]) -> None:
        self._sums = dict(state["sums"])
        self._counts = {name: int(count) for name, count in state["counts"].items()}


def merged(states: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The state of all values together, of several :class:`Averages` that each had some of them."""
    first, *others = states
    together: dict[str, dict[str, Any]] = {kind: dict(first[kind]) for kind in ("sums", "counts")}
    for state in others:
        for kind, of_names in together.items():
            for name, value in state[kind].items():
                of_names[name] = of_names.get(name, 0) + value
    return together
