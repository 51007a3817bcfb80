"""Smooth activation functions, and lines around them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dsrna.bounds.scalar_function import Enclosure, ScalarFunction

_PARTS = 16
"""Into how many an interval is cut to find lines: their intercepts are off by 1 / 256 of what a chord is."""


@dataclass(frozen=True)
class SmoothFunction(ScalarFunction):
    """A function whose curvature is known, and that is a line far from 0.

    Attributes:
        value, slope, steepest, above, least: see :class:`ScalarFunction`.
        curvature: at least |f''| everywhere.
        tail: from here on in both directions, f is a line up to ``remainder``.
        remainder: at least |f - line| there.
        lowest: where f has its one minimum, left of which it falls and right of which it rises; minus infinity where it
            rises everywhere.
    """

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    steepest: float
    curvature: float
    tail: float
    remainder: float
    lowest: float = -math.inf
    above: float = -math.inf
    least: float = -math.inf

    def range(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        first, last = self.value(low), self.value(high)
        least = torch.minimum(first, last)
        if self.lowest > -math.inf:
            bottom = self.value(torch.full_like(low, self.lowest)) - 4 * torch.finfo(low.dtype).eps
            least = torch.where((low < self.lowest) & (self.lowest < high), torch.minimum(least, bottom), least)
        return least, torch.maximum(first, last)

    def reach(self, centre: Tensor, radius: Tensor) -> Tensor:
        return self.slope(centre).abs() * radius + self.curvature / 2 * radius.square()

    def size(self, low: Tensor, high: Tensor) -> Tensor:
        return 1 + self.steepest * torch.maximum(low.abs(), high.abs())

    def enclosure(self, low: Tensor, high: Tensor) -> Enclosure:
        return enclosing_lines(self, low, high)


def _sigmoid_slope(z: Tensor) -> Tensor:
    return z.sigmoid() * (-z).sigmoid()


def _erf_slope(z: Tensor) -> Tensor:
    return 2 / math.sqrt(math.pi) * torch.exp(-z.square())


def _gelu_slope(z: Tensor) -> Tensor:
    return torch.special.ndtr(z) + z * torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)


def _silu_slope(z: Tensor) -> Tensor:
    return z.sigmoid() + z * _sigmoid_slope(z)


# The largest slopes and curvatures: sigmoid'' = s (1 - s) (1 - 2 s) is largest at s = (3 - sqrt(3)) / 6, tanh'' is 8
# times that; erf'' = -2 z erf' is largest at -1 / sqrt(2); gelu'' = (2 - z^2) phi(z) is largest at 0, silu'' too; their
# first derivatives where the second are 0.
SIGMOID = SmoothFunction(torch.sigmoid, _sigmoid_slope, 0.25, 0.09623, tail=12.0, remainder=6.2e-6)
TANH = SmoothFunction(torch.tanh, lambda z: 1 - z.tanh().square(), 1.0, 0.7699, tail=6.0, remainder=1.3e-5)
ERF = SmoothFunction(torch.erf, _erf_slope, 1.12838, 0.96789, tail=4.0, remainder=1.6e-8)
GELU = SmoothFunction(F.gelu, _gelu_slope, 1.1290, 0.79789, tail=5.0, remainder=1.5e-6, lowest=-0.7517915246935645)
SILU = SmoothFunction(F.silu, _silu_slope, 1.0999, 0.5, tail=12.0, remainder=7.4e-5, lowest=-1.2784645427610738)


def enclosing_lines(function: SmoothFunction, low: Tensor, high: Tensor) -> Enclosure:
    """Lines below and above a function for inputs between two ends, entry by entry.

    For any slope a, f(z) - a z is at least its least value on a grid less h^2 / 8 max |f''|, the error of linear
    interpolation between points h apart; and where f is a line up to r, less 2 r. So every slope gives a sound line. Of
    the slopes of f at five places and that of the chord, the one is taken that leaves the smallest area.

    Args:
        function: f.
        low: lower ends.
        high: upper ends, >= ``low``.

    Source: the choice by area is CROWN's, Zhang et al. (NeurIPS 2018), section 3.3; intercepts differ from theirs,
    whose tangents need a search for each function.
    """
    first, last = (end.clamp(-function.tail, function.tail) for end in (low, high))
    steps = torch.linspace(0, 1, _PARTS + 1, dtype=low.dtype, device=low.device)
    grid = [low, *(first + (last - first) * step for step in steps), high]
    values = [function.value(z) for z in grid]
    gap = (last - first) / _PARTS
    tails = ((low < -function.tail) | (high > function.tail)).to(low.dtype)
    slack = function.curvature * gap.square() / 8 + 2 * function.remainder * tails
    size = torch.maximum(low.abs(), high.abs())
    rounding = 8 * torch.finfo(low.dtype).eps * (1 + 2 * function.steepest) * (size + gap)
    slack = slack + rounding + 8 * torch.finfo(low.dtype).eps * values[0].abs()
    width = high - low
    wide = width > math.sqrt(torch.finfo(low.dtype).eps) * (1 + size)
    middle = (low + high) / 2
    chord = torch.where(wide, (values[-1] - values[0]) / torch.where(wide, width, 1.0), function.slope(middle))
    slopes = [chord, *(function.slope(low + share * width) for share in (0.0, 0.25, 0.5, 0.75, 1.0))]
    # All slopes whose line touches f in the middle leave the same area; rounding is not to choose among them.
    ties = 8 * rounding + torch.finfo(low.dtype).tiny
    best: list[tuple[Tensor, Tensor]] = []
    for sign in (1.0, -1.0):
        chosen: tuple[Tensor, Tensor] | None = None
        for slope in slopes:
            intercept = sign * (values[0] - slope * grid[0])
            for z, value in zip(grid[1:], values[1:], strict=True):
                intercept = torch.minimum(intercept, sign * (value - slope * z))
            intercept = sign * (intercept - slack)
            if chosen is None:
                chosen = (slope, intercept)
                continue
            better = sign * (slope * middle + intercept - chosen[0] * middle - chosen[1]) > ties
            chosen = (torch.where(better, slope, chosen[0]), torch.where(better, intercept, chosen[1]))
        assert chosen is not None
        best.append(chosen)
    (lower, floor), (upper, ceiling) = best
    return Enclosure(lower, floor, upper, ceiling)
