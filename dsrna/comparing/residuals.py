"""How cells do beside random ones of their size: residuals over log parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dsrna.comparing.intervals import Estimate

FEWEST = 3
"""Random cells that a line through them takes, so that what is left tells its scatter."""


class Sized(Protocol):
    """A cell's network: ``value`` is its accuracy, the mean over training seeds."""

    @property
    def log_parameters(self) -> float: ...
    @property
    def value(self) -> float: ...


@dataclass(frozen=True)
class Fit:
    """The least-squares line of accuracy over log parameters, through the random cells."""

    intercept: float
    slope: float
    variance: float
    count: int
    centre: float
    spread: float

    @classmethod
    def through(cls, cells: Sequence[Sized]) -> Fit | None:
        """None where there are too few cells, or all of one size."""
        x, y = np.array([cell.log_parameters for cell in cells]), np.array([cell.value for cell in cells])
        if len(cells) < FEWEST or np.ptp(x) == 0:
            return None
        centre, spread = float(x.mean()), float(((x - x.mean()) ** 2).sum())
        slope = float(((x - centre) * y).sum() / spread)
        intercept = float(y.mean()) - slope * centre
        left = y - intercept - slope * x
        return cls(intercept, slope, float((left**2).sum() / (len(cells) - 2)), len(cells), centre, spread)

    def at(self, log_parameters: float) -> float:
        return self.intercept + self.slope * log_parameters

    def residual(self, cells: Sequence[Sized]) -> Estimate:
        """Mean height of m other cells above the line.

        Its variance is s^2 (1/m + 1/n + (x - mean)^2 / sum of squares), with the scatter s about the line that both
        groups have together: three cells alone would tell too little of theirs.
        """
        heights = np.array([cell.value - self.at(cell.log_parameters) for cell in cells])
        away = float(np.mean([cell.log_parameters for cell in cells])) - self.centre
        freedom = self.count - 2 + len(cells) - 1
        variance = (self.variance * (self.count - 2) + float(((heights - heights.mean()) ** 2).sum())) / freedom
        error = math.sqrt(variance * (1 / len(cells) + 1 / self.count + away**2 / self.spread))
        return Estimate(float(heights.mean()), error, freedom)


def difference(some: Sequence[Sized], others: Sequence[Sized]) -> Estimate | None:
    """Of the means of two groups of cells, whatever their sizes, by their common scatter; None of too few cells."""
    a, b = (np.array([cell.value for cell in group]) for group in (some, others))
    freedom = len(a) + len(b) - 2
    if not len(a) or not len(b) or freedom < 1:
        return None
    variance = float(((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum()) / freedom
    return Estimate(float(a.mean() - b.mean()), math.sqrt(variance * (1 / len(a) + 1 / len(b))), freedom)
