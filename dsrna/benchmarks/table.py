"""One metric of a benchmark for all classes of architectures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dsrna.errors import ConfigError

MEAN = "mean"
"""The level of a seed axis that stands for the published mean over seeds."""


@dataclass(frozen=True)
class Axis:
    """One way in which a metric was measured several times.

    Attributes:
        name: "eps" (levels in [0, 1] pixel units), "severity" (1 to 5), or "seed" (as text, or :data:`MEAN`).
        levels: in the order of the table.
    """

    name: Literal["eps", "severity", "seed"]
    levels: tuple[float | str, ...]

    @property
    def choices(self) -> str:
        """The levels as text for messages."""
        if self.name == "eps":
            return ", ".join(f"{float(level) * 255:g}/255" for level in self.levels)
        return ", ".join(str(level) for level in self.levels)

    def position(self, level: float | None, subject: str) -> int:
        """Where a level stands; for seeds, None is the mean.

        Raises:
            ConfigError: it is missing or isn't one of the levels.
        """
        if self.name == "seed":
            wanted = MEAN if level is None else str(level)
            if wanted in self.levels:
                return self.levels.index(wanted)
        elif level is not None and not isinstance(level, str):
            for place, known in enumerate(self.levels):
                if math.isclose(float(known), level, rel_tol=1e-6):
                    return place
        hint = ""
        if self.name == "eps" and level is not None and level > 1:
            hint = f" `eps` is in [0, 1] pixel units: did you mean {level:g}/255?"
        raise ConfigError(f"{subject} was measured at `{self.name}` {self.choices}; got {level!r}.{hint}")


@dataclass(frozen=True)
class Table:
    """Values of one metric.

    Attributes:
        axes: the ways in which it varies; none where it was measured once.
        values: (levels of each axis …, 6466 classes, further numbers of each entry …); NaN where there is no entry.
    """

    axes: tuple[Axis, ...]
    values: np.ndarray

    def at(self, subject: str, **levels: float | None) -> np.ndarray:
        """(6466, …) values at one level of every axis.

        Args:
            subject: what the table holds, for messages.
            levels: axis name -> level or None.

        Raises:
            ConfigError: a level is missing, unknown, or given for an axis that the table doesn't have.
        """
        names = [axis.name for axis in self.axes]
        for name, level in levels.items():
            if level is not None and name not in names:
                raise ConfigError(f"{subject} has no `{name}`: expected none, got {level!r}.")
        place: tuple[Any, ...] = tuple(axis.position(levels.get(axis.name), subject) for axis in self.axes)
        return self.values[place]
