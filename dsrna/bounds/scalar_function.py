"""What bounds need to know of a function of single numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class Enclosure(NamedTuple):
    """lower * z + floor <= f(z) <= upper * z + ceiling, entry by entry."""

    lower: Tensor
    floor: Tensor
    upper: Tensor
    ceiling: Tensor


class ScalarFunction(ABC):
    """A function f of single numbers, applied entry by entry.

    Attributes:
        value: f.
        slope: f'.
        steepest: at least |f'| everywhere; infinity where there's no such number.
        above: f is defined for numbers above this one; minus infinity where it is everywhere.
        least: inputs are known to be no smaller, whatever rounding makes of the lower ends; or minus infinity.
    """

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    steepest: float
    above: float
    least: float

    @abstractmethod
    def range(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """The smallest and the largest value between two ends."""

    @abstractmethod
    def reach(self, centre: Tensor, radius: Tensor) -> Tensor:
        """At least |f(z) - f(centre)| for all |z - centre| <= radius, which is small, with as many digits as that."""

    @abstractmethod
    def size(self, low: Tensor, high: Tensor) -> Tensor:
        """At least |f(z)| + |z f'(z)| between two ends: what a few roundings in f are relative to."""

    @abstractmethod
    def enclosure(self, low: Tensor, high: Tensor) -> Enclosure:
        """Lines below and above f for inputs between two ends, entry by entry."""
