"""Running means over an epoch, which travel in the checkpoint so that a resumed epoch logs the same numbers."""

from __future__ import annotations

from torch import Tensor


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
