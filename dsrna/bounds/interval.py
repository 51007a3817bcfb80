"""Interval arithmetic on networks as they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from dsrna.bounds.box import Box
from dsrna.bounds.margin_matrix import margin_matrix
from dsrna.bounds.rounding import unit_roundoff
from dsrna.bounds.scalar_function import ScalarFunction
from dsrna.bounds.softmax import softmax
from dsrna.bounds.standardisation import Standardisation
from dsrna.functional.pooling import average_pool


class _Head(NamedTuple):
    """The linear layer that an interval came out of."""

    inputs: Interval
    weight: Tensor
    bias: Tensor | None


class Interval(Box):
    """All values between centre - radius and centre + radius, entry by entry, and what layers make of them.

    ``network(Interval.ball(x, eps, norm))`` runs the network's own forward and gives an interval that contains
    network(x') for every x' of the ball cut with [0, 1]: sound up to floating point rounding, exact for each single
    operation, and in general loose for their composition. The rules:

    - linear, convolution, sums, products: those of a :class:`~dsrna.bounds.box.Box`, which also says what becomes of
      rounding; BatchNorm with running statistics: c * s + t, r * |s|;
    - smooth activation functions: their range between both ends; where these are close, |f'(c)| r + r^2 / 2 max |f''|;
    - ReLU, max and average pooling are monotone: applied to both ends. The radius never comes out of the difference of
      two ends, so that it keeps its digits where it is far smaller than the rounding of the centre.

    Differentiable in images, eps, network weights and operation weights. Cost: about two forward passes; three with a
    unit of rounding.

    Raises:
        UnsupportedError: by any operation for which there's no rule.

    Source: Gowal et al., On the Effectiveness of Interval Bound Propagation (2018), eq. 6-8.
    """

    _head: _Head | None = None

    def margins(self, y: Tensor) -> Interval:
        """Interval (N, K - 1) of the margins f_y - f_j, in ascending order of the wrong classes j.

        Where these logits (N, K) came straight out of a linear layer, that layer is applied to the differences of its
        rows, which is tighter than the difference of the logits' bounds.

        Args:
            y: (N,) true classes.
        """
        matrix = margin_matrix(y, self.shape[1], self.centre)
        if self._head is None:
            return self.functions(matrix)
        inputs, weight, bias = self._head
        margins = inputs.functions(matrix @ weight, None if bias is None else matrix @ bias)
        if self.rounding is not None:  # of the two logits, each of which the network computes by itself
            margins.radius = margins.radius + (matrix.abs() @ self.rounding.unsqueeze(2)).squeeze(2)
        return margins

    def functions(self, rows: Tensor, shift: Tensor | None = None) -> Interval:
        """Interval (N, R) of R affine functions of each image's values: rows . values + shift.

        Args:
            rows: (N, R, ...), other ones for each image.
            shift: (N, R), or None for 0.
        """
        values = self.flatten(1)
        values._unit = min(self._unit, unit_roundoff(rows.dtype))  # the network doesn't compute them
        return values._linear_map(_rows, rows.flatten(2), shift, rows[0, 0].numel())

    def conv2d(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Self:
        shift = None if bias is None else bias.view(1, -1, 1, 1)
        return self._linear_map(
            lambda values, kernel: F.conv2d(values, kernel, None, stride, padding, dilation, groups),
            weight,
            shift,
            weight[0].numel(),
        )

    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Self:
        output = self._linear_map(F.linear, weight, bias, weight.shape[1])
        output._head = _Head(copy(self), weight, bias)  # as it is now, whatever is done to it in place
        return output

    def normalise(
        self, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, smallest: float
    ) -> Self:
        scale = (variance + smallest).rsqrt() if weight is None else (variance + smallest).rsqrt() * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        channels = (1, -1, *[1] * (self.ndim - 2))
        scale, shift, mean = scale.view(channels), shift.view(channels), mean.view(channels)
        ellipsoid = self._ellipsoid and self._ellipsoid.times(scale).plus(shift)
        centre, radius = self.centre * scale + shift, self.radius * scale.abs()

        def size() -> Tensor:  # large where a large mean is taken off
            return (self.magnitude + mean.abs()) * scale.abs() + (shift + mean * scale).abs()

        return self._made(centre, radius, ellipsoid, operations=8, size=size)

    def _rectified(self) -> Self:
        half, lower = F.relu(self.upper) / 2, self.lower
        radius = torch.where(lower >= 0, self.radius, half)
        return self._made(half + F.relu(lower) / 2, radius, operations=2, size=lambda: 2 * half)

    def _entrywise(self, function: ScalarFunction) -> Self:
        inside = self.inside(function)
        low = inside.lower.clamp(min=function.least)
        return self._between(
            *function.range(low, inside.upper),
            function.value(inside.centre),
            function.reach(inside.centre, inside.radius),
            operations=16,
            size=lambda: function.size(low, inside.upper),
        )

    def inside(self, function: ScalarFunction) -> Self:
        """The interval where a function is defined; its images that may be elsewhere become :attr:`undefined`."""
        if function.above == -math.inf:
            return self
        outside = self.lower.clamp(min=function.least) <= function.above
        if not bool(outside.any()):
            return self
        if self.undefined is None:
            self._refuse(f"a root or quotient of what may be {function.above:g} or less in the ball")
        self.undefined |= outside.flatten(1).any(dim=1)
        return self._made(torch.where(outside, function.above + 1, self.centre), self.radius.masked_fill(outside, 0.0))

    def _product(self, other: Self) -> Self:
        """Between the least and the largest of the four products of ends.

        c_x c_y + sign(c_x c_y) m +- (a + b + c - m) with a = |c_x| r_y, b = r_x |c_y|, c = r_x r_y, m = min(a, b, c).
        """
        own, others, both = (
            self.centre.abs() * other.radius,
            self.radius * other.centre.abs(),
            self.radius * other.radius,
        )
        product, common = self.centre * other.centre, torch.minimum(torch.minimum(own, others), both)
        return self._made(
            product + product.sign() * common,
            own + others + both - common,
            operations=8,
            size=lambda: self.magnitude * other.magnitude,
        )

    def _matrix_product(self, other: Self) -> Self:
        products = self.unsqueeze(-1) * other.unsqueeze(-3)
        return products._positive_linear(lambda values: values.sum(-2), self.shape[-1])

    def _softmax(self) -> Interval:
        return softmax(self)

    def _standardised(self, dims: tuple[int, ...], smallest: float) -> Interval:
        statistics = Standardisation(self, dims, smallest)
        deviations = statistics.deviations()
        return statistics.result(deviations, statistics.power(deviations))

    def _between(
        self,
        low: Tensor,
        high: Tensor,
        centre: Tensor,
        radius: Tensor,
        *,
        operations: int,
        size: Callable[[], Tensor],
    ) -> Self:
        """Between two ends; where these are close, a difference of them would have no digits: centre +- radius."""
        narrow = radius < math.sqrt(torch.finfo(self.dtype).eps) * (1 + centre.abs())
        return self._made(
            torch.where(narrow, centre, (low + high) / 2),
            torch.where(narrow, radius, (high - low) / 2),
            operations=operations,
            size=size,
        )

    def max_pool2d(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Self:
        if return_indices:
            self._refuse("the indices of a max pooling")

        def places(values: Tensor) -> tuple[torch.Size, Tensor]:
            pooled, indices = F.max_pool2d(
                values, kernel_size, stride, padding, dilation, ceil_mode=ceil_mode, return_indices=True
            )
            return pooled.shape, indices.flatten(2)

        shape, above = places(self.upper)
        _, below = places(self.lower)
        centre, radius = self.centre.flatten(2), self.radius.flatten(2)
        high, low = centre.gather(2, above), centre.gather(2, below)
        reach_high, reach_low = radius.gather(2, above), radius.gather(2, below)
        # The radius is no smaller than that of the place with the greatest lower end, whatever rounding says.
        pooled = torch.maximum((high - low + reach_high + reach_low) / 2, reach_low)
        centre = (high + low + reach_high - reach_low) / 2

        def size() -> Tensor:
            return (high.abs() + low.abs() + reach_high + reach_low).view(shape)

        return self._made(centre.view(shape), pooled.view(shape), operations=4, size=size)

    def avg_pool2d(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Self:
        return self._positive_linear(
            lambda values: average_pool(
                values, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
            ),
            kernel_size**2 if isinstance(kernel_size, int) else math.prod(kernel_size),
        )

    def adaptive_avg_pool2d(self, output_size: Any) -> Self:
        return self._positive_linear(lambda values: F.adaptive_avg_pool2d(values, output_size))

    def _mean(self, dim: tuple[int, ...], keepdim: bool) -> Self:
        return self._positive_linear(lambda values: values.mean(dim=dim, keepdim=keepdim))


def _rows(values: Tensor, rows: Tensor) -> Tensor:
    """(N, D), (N, R, D) -> (N, R), other rows for each image."""
    return torch.einsum("nd,nrd->nr", values.expand(len(rows), -1), rows)
