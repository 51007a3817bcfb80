"""Interval arithmetic on networks as they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from dsrna.bounds.abstract_tensor import AbstractTensor
from dsrna.bounds.ellipsoid import Ellipsoid, LinearMap
from dsrna.bounds.margin_matrix import margin_matrix
from dsrna.bounds.movement import Move
from dsrna.bounds.rounding import accumulated, unit_roundoff
from dsrna.functional.pooling import average_pool
from dsrna.types import Norm


class _Head(NamedTuple):
    """The linear layer that an interval came out of."""

    inputs: Interval
    weight: Tensor
    bias: Tensor | None


class Interval(AbstractTensor):
    """All values between centre - radius and centre + radius, entry by entry.

    ``network(Interval.ball(x, eps, norm))`` runs the network's own forward and gives an interval that contains
    network(x') for every x' of the ball cut with [0, 1]: sound up to floating point rounding, exact for each single
    operation, and in general loose for their composition. The rules:

    - linear and convolution: centre W c + b, radius |W| r; at the first such layer of an l_2 ball also eps * ||w||_2
      for each row w, whichever is tighter; BatchNorm with running statistics: c * s + t, r * |s|;
    - ReLU, max and average pooling are monotone: applied to both ends. The radius never comes out of the difference of
      two ends, so that it keeps its digits where it is far smaller than the rounding of the centre;
    - sums, concatenation, zero padding, slices: to centre and radius. A product with operation weights w has the
      radius |w| r, whose derivative at w = 0 is taken from the right, as operation weights are never negative.

    With a ``unit`` of rounding, every result is widened by :attr:`rounding`, what its n roundings can change:
    gamma_n = n u / (1 - n u) times the magnitudes that went into it, |W| |x| + |b|. Then the interval contains what the
    network gives in floating point arithmetic too, layer by layer, and the errors of the interval's own arithmetic.

    Differentiable in images, eps, network weights and operation weights. Cost: about two forward passes; three with a
    unit of rounding.

    Args:
        centre: (N, ...).
        radius: (N, ...), >= 0.

    Attributes:
        rounding: (N, ...), what the last operation's own rounding can change; None without a unit, and for operations
            that only move values.

    Raises:
        UnsupportedError: by any operation for which there's no rule.

    Source: Gowal et al., On the Effectiveness of Interval Bound Propagation (2018), eq. 6-8.
    """

    def __init__(
        self, centre: Tensor, radius: Tensor, ellipsoid: Ellipsoid | None = None, head: _Head | None = None
    ) -> None:
        self.centre = centre
        self.radius = radius
        self._ellipsoid = ellipsoid
        self._head = head
        self._unit = 0.0
        self.rounding: Tensor | None = None

    @classmethod
    def ball(cls, x: Tensor, eps: float | Tensor, norm: Norm, unit: float = 0.0) -> Self:
        """The ball of radius eps around each image, cut with [0, 1].

        Args:
            x: (N, ...) images in [0, 1].
            eps: radius in [0, 1] pixel units, one for all images or (N,).
            norm: ``"linf"`` or ``"l2"``.
            unit: of rounding, in the network and in the interval's own arithmetic together; 0 to allow for none.
        """
        radii = torch.as_tensor(eps, dtype=x.dtype, device=x.device).expand(len(x))
        reach = _per_image(radii, x)
        below, above = torch.minimum(reach, x), torch.minimum(reach, 1 - x)
        box = cls(x + (above - below) / 2, (above + below) / 2)
        if norm == "l2":
            box._ellipsoid = Ellipsoid.ball(x, radii)
        if unit > 0:
            box._unit = unit
            box.radius = box.radius + 4 * unit_roundoff(x.dtype) * (x + box.radius)
        return box

    @property
    def lower(self) -> Tensor:
        """(N, ...) lower ends."""
        return self.centre - self.radius

    @property
    def upper(self) -> Tensor:
        """(N, ...) upper ends."""
        return self.centre + self.radius

    @property
    def shape(self) -> torch.Size:
        return self.centre.shape

    @property
    def device(self) -> torch.device:
        return self.centre.device

    @property
    def magnitude(self) -> Tensor:
        """(N, ...) the largest absolute value."""
        return self.centre.abs() + self.radius

    def narrowed(self, lower: Tensor, upper: Tensor) -> Self:
        """The same value between other ends (N, ...), which only rounding can make look exchanged."""
        half = (upper - lower).abs() / 2
        return self._made((lower + upper) / 2, half)

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

    def _moved(self, move: Move) -> Self:
        return self._made(move(self.centre), move(self.radius), self._ellipsoid and self._ellipsoid.moved(move))

    @classmethod
    def _joined(cls, tensors: Sequence[Self], dim: int) -> Self:
        ellipsoids = [tensor._ellipsoid for tensor in tensors if tensor._ellipsoid is not None]
        return tensors[0]._made(
            torch.cat([tensor.centre for tensor in tensors], dim),
            torch.cat([tensor.radius for tensor in tensors], dim),
            Ellipsoid.joined(ellipsoids, dim) if len(ellipsoids) == len(tensors) else None,
        )

    def _plus(self, other: Any) -> Self:
        if isinstance(other, Interval):
            return self._made(
                self.centre + other.centre,
                self.radius + other.radius,
                operations=2,
                size=lambda: self.magnitude + other.magnitude,
            )
        centre = self.centre + other
        return self._made(
            centre,
            self.radius.expand_as(centre),
            self._ellipsoid and self._ellipsoid.plus(other),
            operations=2,
            size=lambda: self.magnitude + abs(other),
        )

    def _times(self, factor: Any) -> Self:
        magnitude = torch.where(factor >= 0, factor, -factor) if isinstance(factor, Tensor) else abs(factor)
        return self._made(
            self.centre * factor,
            self.radius * magnitude,
            self._ellipsoid and self._ellipsoid.times(factor),
            operations=3,  # with that of a divisor's inverse
            size=lambda: self.magnitude * magnitude,
        )

    def _positive_linear(self, function: Callable[[Tensor], Tensor], terms: int | None = None) -> Self:
        """An average of so many values, or of an image's all at most."""
        terms = self.shape[1:].numel() if terms is None else terms
        return self._made(
            function(self.centre), function(self.radius), operations=terms + 2, size=lambda: function(self.magnitude)
        )

    def _linear_map(self, apply: LinearMap, coefficients: Tensor, shift: Tensor | None, terms: int) -> Self:
        shift = coefficients.new_zeros(()) if shift is None else shift
        centre, radius = apply(self.centre, coefficients) + shift, apply(self.radius, coefficients.abs())
        size = partial(self._size_of_sums, apply, coefficients.abs(), shift)
        if self._ellipsoid is None:
            return self._made(centre, radius, operations=terms + 2, size=size)
        image = apply(self._ellipsoid.centre, coefficients) + shift
        reach = self._ellipsoid.reach(apply, coefficients)
        # Of the box's middle from the image, exactly 0 where uncut.
        offset = apply(self.centre - self._ellipsoid.centre, coefficients)
        below = torch.minimum(reach, (radius - offset).clamp(min=0))
        above = torch.minimum(reach, (radius + offset).clamp(min=0))
        return self._made(image + (above - below) / 2, (above + below) / 2, operations=terms + 4, size=size)

    def _size_of_sums(self, apply: LinearMap, magnitudes: Tensor, shift: Tensor) -> Tensor:
        return apply(self.magnitude, magnitudes) + shift.abs()

    def _made(
        self,
        centre: Tensor,
        radius: Tensor,
        ellipsoid: Ellipsoid | None = None,
        *,
        operations: int = 0,
        size: Callable[[], Tensor] | None = None,
    ) -> Self:
        """The result of an operation, widened by what ``operations`` roundings of sums of ``size`` can change."""
        made = type(self)(centre, radius, ellipsoid)
        made._unit = self._unit
        if self._unit > 0 and size is not None:
            made.rounding = accumulated(operations, self._unit) * size()
            made.radius = radius + made.rounding
            made._ellipsoid = ellipsoid and ellipsoid.drifted(made.rounding)
        return made


def _rows(values: Tensor, rows: Tensor) -> Tensor:
    """(N, D), (N, R, D) -> (N, R), other rows for each image."""
    return torch.einsum("nd,nrd->nr", values.expand(len(rows), -1), rows)


def _per_image(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.ndim - 1))
