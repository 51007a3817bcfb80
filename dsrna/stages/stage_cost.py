"""What a stage costs, as a value: ranges, because what was measured scatters and some of it isn't known yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """A quantity that is expected to lie between two others."""

    low: float
    expected: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Range:
        """One that is known."""
        return cls(value, value, value)

    @classmethod
    def of(cls, samples: Sequence[float]) -> Range:
        """The least, the mean and the largest of some measurements: what is estimated is long, and meets whatever else
        the machine does, so the mean and not the least is expected.

        >>> Range.of([1.0, 2.0, 6.0])
        Range(low=1.0, expected=3.0, high=6.0)
        """
        return cls(min(samples), sum(samples) / len(samples), max(samples))

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def __mul__(self, factor: float | Range) -> Range:
        by = factor if isinstance(factor, Range) else Range.exactly(factor)
        return Range(self.low * by.low, self.expected * by.expected, self.high * by.high)


ONCE = Range.exactly(1.0)
"""As a factor: what it is multiplied by stays."""


def summed(ranges: Iterable[Range]) -> Range:
    """The range of a sum."""
    return sum(ranges, Range.exactly(0.0))


def largest(ranges: Iterable[Range]) -> Range:
    """The range of the largest of some quantities."""
    found = [Range.exactly(0.0), *ranges]
    return Range(max(r.low for r in found), max(r.expected for r in found), max(r.high for r in found))


@dataclass(frozen=True)
class StageCost:
    """What a stage costs in one process.

    Attributes:
        seconds: of its work.
        memory: bytes, of the process or the GPU, while it works.
        disk: bytes in the run folder when it is done; ``high`` has what is there for a moment as well.
        notes: what was measured, and how the rest follows from it; what isn't known.
    """

    seconds: Range
    memory: Range
    disk: Range
    notes: tuple[str, ...] = ()
