"""Means with the intervals that their scatter allows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Estimate:
    """A value, its standard error, and the 95 % interval of Student's t."""

    value: float
    error: float
    freedom: float

    @property
    def interval(self) -> tuple[float, float]:
        half = float(stats.t.ppf(0.975, self.freedom)) * self.error
        return self.value - half, self.value + half

    @property
    def p_value(self) -> float | None:
        """Two-sided, of the hypothesis that the true value is 0; None where there is no scatter to judge a value by."""
        if self.error == 0:
            return 1.0 if self.value == 0 else None
        return float(2 * stats.t.sf(abs(self.value / self.error), self.freedom))


@dataclass(frozen=True)
class Spread:
    """A number over the networks of a row.

    Attributes:
        mean: over cells, each counted as often as searches ended in it, of the mean over its trainings.
        deviation: standard deviation (divided by n - 1) over all different networks: what one may differ from another;
            None for one network.
        interval: 95 % interval of the mean; None where nothing tells it. Its unit is what the method draws anew: the
            cells, or, where all searches ended in one, its trainings. A cell that was found twice is one cell.
        cells: how many different ones there are.
        networks: how many different trained networks there are.
    """

    mean: float
    deviation: float | None
    interval: tuple[float, float] | None
    cells: int
    networks: int


def spread(by_cell: Sequence[Sequence[float]], times: Sequence[int] | None = None) -> Spread:
    """The spread of a number that every trained network has.

    Args:
        by_cell: a list a cell, a value a training; none is empty.
        times: how often each cell was found; by default once.
    """
    means = np.array([np.mean(values) for values in by_cell])
    every = np.array([value for values in by_cell for value in values])
    units = means if len(by_cell) > 1 else every
    middle = float(np.average(means, weights=times))
    found = None
    if len(units) > 1:
        found = Estimate(middle, float(units.std(ddof=1)) / math.sqrt(len(units)), len(units) - 1).interval
    return Spread(middle, float(every.std(ddof=1)) if len(every) > 1 else None, found, len(by_cell), len(every))
