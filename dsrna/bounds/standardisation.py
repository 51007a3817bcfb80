"""Intervals of what LayerNorm, GroupNorm and InstanceNorm compute before their weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dsrna.bounds.convex_function import RSQRT
from dsrna.bounds.scalar_function import ScalarFunction

if TYPE_CHECKING:
    from dsrna.bounds.interval import Interval

_BISECTIONS, _NEWTON_STEPS = 8, 2
"""By themselves, Newton's steps may go round in circles, and bisection has no end."""


@dataclass(frozen=True)
class Standardisation:
    """z = (x - m) / sqrt(v + smallest), with the mean m and the variance v of n values x of an image.

    In three steps: deviations d = x - m; power p = v + smallest; z = d / sqrt(p). An interval of p says less than one
    of all x, but it keeps what matters most: p is no smaller than the smallest variance in the box allows.

    Args:
        x: interval (N, ...).
        dims: >= 1, over which mean and variance are taken.
        smallest: >= 0.
    """

    x: Interval
    dims: tuple[int, ...]
    smallest: float

    @cached_property
    def count(self) -> int:
        """n."""
        return torch.Size([self.x.shape[dim] for dim in self.dims]).numel()

    @cached_property
    def centre(self) -> Tensor:
        """(N, ...) the deviations of the box's centre."""
        return self.x.centre - self._mean(self.x.centre)

    def deviations(self) -> Interval:
        """d, exactly: x_i counts 1 - 1/n, all others -1/n."""
        coefficients = self.x.centre.new_tensor([1 - 1 / self.count, -1 / self.count])
        return self.x._linear_map(
            lambda values, own_and_others: (
                values * (own_and_others[0] - own_and_others[1])
                + values.sum(dim=self.dims, keepdim=True) * own_and_others[1]
            ),
            coefficients,
            None,
            self.count,
        )

    def excess(self, deviations: Interval) -> Tensor:
        """At least v - (its tangent at the centre), the variance of x - centre; from the narrower of x and d."""
        moved = deviations.radius + (deviations.centre - self.centre).abs()
        return torch.minimum(self._mean(self.x.radius.square()), self._mean(moved.square()))

    def power(self, deviations: Interval) -> Interval:
        """p, from x and d. Its smallest value is that of the box where d was not narrowed.

        Allowance for rounding is made for any way to compute it, also for mean(x^2) - m^2 cut at 0.
        """
        tangent, base = self._mean(self.centre.abs() * self.x.radius), self._mean(self.centre.square())
        away = torch.maximum(deviations.lower, -deviations.upper).clamp(min=0)
        low = torch.maximum(self._least_variance(), self._mean(away.square()))
        radius = 2 * tangent + self.excess(deviations)
        high = torch.minimum(base + radius, self._mean(deviations.magnitude.square()))
        return self.x._between(
            low + self.smallest,
            high + self.smallest,
            base + self.smallest,
            radius,
            operations=self.count + 8,
            size=lambda: self._mean(self.x.magnitude.square()) + self.smallest,
        )

    @property
    def inverse_root(self) -> ScalarFunction:
        """1 / sqrt(p), as p is no smaller than it can be."""
        return replace(RSQRT, least=self.smallest)

    def result(self, deviations: Interval, power: Interval) -> Interval:
        """z, from d and p.

        z rises with d_i, and falls in size with p. For d_i at an end, p is at least d_i^2 / (n - 1) + smallest, as the
        other deviations add up to -d_i: so |z| < sqrt(n - 1), whatever the box.
        """
        product = deviations._product(power._entrywise(self.inverse_root))
        low, high = (self._end(end, sign, power) for end, sign in ((deviations.lower, -1), (deviations.upper, 1)))
        return self.x._between(
            low,
            high,
            product.centre,
            product.radius,
            operations=12,  # computed as x / sqrt(p) - m / sqrt(p), too
            size=lambda: (
                (self.x.magnitude + self._mean(self.x.magnitude)) * power.lower.clamp(min=self.smallest).rsqrt()
            ),
        )

    def _end(self, deviation: Tensor, sign: int, power: Interval) -> Tensor:
        own = deviation.square() / max(self.count - 1, 1) + self.smallest
        small = torch.maximum(power.lower, own)
        large = torch.maximum(power.upper, own)  # differs where rounding exchanges them
        return deviation * torch.where(sign * deviation > 0, small, large).rsqrt()

    def _least_variance(self) -> Tensor:
        """The smallest variance in the box: over m, the smallest mean of the squared distances of the x from m.

        That is convex in m, so an approximate m gives a bound: less its derivative times how far m may be off.
        """
        low, high = self.x.lower, self.x.upper
        least, most = self._mean(low), self._mean(high)
        with torch.no_grad():
            first, last = least, most
            for _ in range(_BISECTIONS):
                middle = (first + last) / 2
                rise = self._mean(_gap(middle, low, high))
                first, last = torch.where(rise >= 0, middle, first), torch.where(rise <= 0, middle, last)
            for _ in range(_NEWTON_STEPS):
                middle = self._newton(middle, low, high, first, last)
        middle = self._newton(middle, low, high, least, most)  # whose gradient is that of the minimum's place
        gap = _gap(middle, low, high)
        off = 2 * self._mean(gap)
        span = torch.where(off > 0, most - middle, middle - least)
        return (self._mean(gap.square()) - off.abs() * span).clamp(min=0)

    def _newton(self, middle: Tensor, low: Tensor, high: Tensor, first: Tensor, last: Tensor) -> Tensor:
        gap = _gap(middle, low, high)
        outside = self._mean((gap != 0).to(gap.dtype)).clamp(min=1 / self.count)
        return torch.minimum(torch.maximum(middle + self._mean(gap) / outside, first), last)

    def _mean(self, values: Tensor) -> Tensor:
        return values.mean(dim=self.dims, keepdim=True)


def _gap(middle: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """How far a number has to go to get between two ends."""
    return (low - middle).relu() - (middle - high).relu()
