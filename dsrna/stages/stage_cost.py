"""What a stage costs, as a value: ranges, because what was measured scatters and some of it isn't known yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CostRange:
    """A quantity that is expected to lie between two others."""

    low: float
    expected: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> CostRange:
        """One that is known."""
        return cls(value, value, value)

    @classmethod
    def between(cls, one: float, other: float) -> CostRange:
        """Between two estimates, expected in the middle; which is larger may be a matter of what was measured.

        >>> CostRange.between(3.0, 1.0)
        CostRange(low=1.0, expected=2.0, high=3.0)
        """
        return cls(min(one, other), (one + other) / 2, max(one, other))

    @classmethod
    def of(cls, samples: Sequence[float]) -> CostRange:
        """The least, the mean and the largest of some measurements: what is estimated is long, and meets whatever else
        the machine does, so the mean and not the least is expected.

        >>> CostRange.of([1.0, 2.0, 6.0])
        CostRange(low=1.0, expected=3.0, high=6.0)
        """
        return cls(min(samples), sum(samples) / len(samples), max(samples))

    def __add__(self, other: CostRange) -> CostRange:
        return CostRange(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def __mul__(self, factor: float | CostRange) -> CostRange:
        by = factor if isinstance(factor, CostRange) else CostRange.exactly(factor)
        return CostRange(self.low * by.low, self.expected * by.expected, self.high * by.high)


ONCE = CostRange.exactly(1.0)
"""As a factor: what it is multiplied by stays."""


def summed(ranges: Iterable[CostRange]) -> CostRange:
    """The range of a sum."""
    return sum(ranges, CostRange.exactly(0.0))


def largest(ranges: Iterable[CostRange]) -> CostRange:
    """The range of the largest of some quantities."""
    found = [CostRange.exactly(0.0), *ranges]
    return CostRange(max(r.low for r in found), max(r.expected for r in found), max(r.high for r in found))


@dataclass(frozen=True)
class StageCost:
    """What a stage costs in one process.

    Attributes:
        seconds: of its work.
        memory: bytes, of the process or the GPU, while it works.
        disk: bytes in the run folder when it is done; ``high`` has what is there for a moment as well.
        notes: what was measured, and how the rest follows from it; what isn't known.
    """

    seconds: CostRange
    memory: CostRange
    disk: CostRange
    notes: tuple[str, ...] = ()
