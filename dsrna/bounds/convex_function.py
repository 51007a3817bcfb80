"""Functions that bend one way only, and lines around them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dsrna.bounds.scalar_function import Enclosure, ScalarFunction


@dataclass(frozen=True)
class ConvexFunction(ScalarFunction):
    """A convex function: it lies below each of its chords and above each of its tangents. A concave one: reversed.

    Of all lines below it between two ends, the tangent in the middle leaves the smallest area; above it, the chord.

    Attributes:
        value, slope, steepest, above, least: see :class:`ScalarFunction`.
        concave: whether -f is convex instead.
        lowest: where f has its one minimum; None where it rises or falls everywhere.
    """

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    steepest: float = math.inf
    above: float = -math.inf
    least: float = -math.inf
    concave: bool = False
    lowest: float | None = None

    def range(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        first, last = self.value(low), self.value(high)
        least = torch.minimum(first, last)
        if self.lowest is not None:
            bottom = self.value(torch.full_like(low, self.lowest))
            least = torch.where((low < self.lowest) & (self.lowest < high), bottom, least)
        return least, torch.maximum(first, last)

    def reach(self, centre: Tensor, radius: Tensor) -> Tensor:
        return self._steepest_between((centre - radius).clamp(min=self.least), centre + radius) * radius

    def size(self, low: Tensor, high: Tensor) -> Tensor:
        ends = torch.maximum(low.abs(), high.abs())
        return torch.maximum(self.value(low).abs(), self.value(high).abs()) + ends * self._steepest_between(low, high)

    def enclosure(self, low: Tensor, high: Tensor) -> Enclosure:
        low = low.clamp(min=self.least)
        middle, width = (low + high) / 2, high - low
        first, last, between = self.value(low), self.value(high), self.value(middle)
        ends = torch.maximum(low.abs(), high.abs())
        precision = torch.finfo(low.dtype).eps
        wide = width > math.sqrt(precision) * (1 + ends)
        tangent = self.slope(middle)
        chord = torch.where(wide, (last - first) / torch.where(wide, width, 1.0), tangent)
        rounding = 8 * precision * (first.abs() + last.abs() + ends * (chord.abs() + tangent.abs()))
        sign = -1.0 if self.concave else 1.0
        far = sign * torch.maximum(sign * (first - chord * low), sign * (last - chord * high)) + sign * rounding
        near = between - tangent * middle - sign * rounding
        if self.concave:
            return Enclosure(chord, far, tangent, near)
        return Enclosure(tangent, near, chord, far)

    def _steepest_between(self, low: Tensor, high: Tensor) -> Tensor:
        return torch.maximum(self.slope(low).abs(), self.slope(high).abs())


EXP = ConvexFunction(torch.exp, torch.exp)
SQUARE = ConvexFunction(torch.square, lambda z: 2 * z, lowest=0.0)
RECIPROCAL = ConvexFunction(torch.reciprocal, lambda z: -z.square().reciprocal(), above=0.0)
SQRT = ConvexFunction(torch.sqrt, lambda z: z.rsqrt() / 2, above=0.0, concave=True)
RSQRT = ConvexFunction(torch.rsqrt, lambda z: -z.rsqrt() / (2 * z), above=0.0)
