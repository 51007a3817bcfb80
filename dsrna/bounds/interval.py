"""Interval arithmetic on networks as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from dsrna.bounds.abstract_tensor import AbstractTensor
from dsrna.bounds.ellipsoid import Ellipsoid, LinearMap
from dsrna.bounds.margin_matrix import margin_matrix
from dsrna.bounds.movement import Move
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

    Differentiable in images, eps, network weights and operation weights. Cost: about two forward passes.

    Args:
        centre: (N, ...).
        radius: (N, ...), >= 0.

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

    @classmethod
    def ball(cls, x: Tensor, eps: float | Tensor, norm: Norm) -> Self:
        """The ball of radius eps around each image, cut with [0, 1].

        Args:
            x: (N, ...) images in [0, 1].
            eps: radius in [0, 1] pixel units, one for all images or (N,).
            norm: ``"linf"`` or ``"l2"``.
        """
        radii = torch.as_tensor(eps, dtype=x.dtype, device=x.device).expand(len(x))
        reach = _per_image(radii, x)
        below, above = torch.minimum(reach, x), torch.minimum(reach, 1 - x)
        box = cls(x + (above - below) / 2, (above + below) / 2)
        if norm == "l2":
            box._ellipsoid = Ellipsoid.ball(x, radii)
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
        return inputs.functions(matrix @ weight, None if bias is None else matrix @ bias)

    def functions(self, rows: Tensor, shift: Tensor | None = None) -> Interval:
        """Interval (N, R) of R affine functions of each image's values: rows . values + shift.

        Args:
            rows: (N, R, ...), other ones for each image.
            shift: (N, R), or None for 0.
        """
        return self.flatten(1)._linear_map(_rows, rows.flatten(2), shift)

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
            lambda values, kernel: F.conv2d(values, kernel, None, stride, padding, dilation, groups), weight, shift
        )

    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Self:
        output = self._linear_map(F.linear, weight, bias)
        output._head = _Head(copy(self), weight, bias)  # as it is now, whatever is done to it in place
        return output

    def normalise(
        self, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, smallest: float
    ) -> Self:
        scale = (variance + smallest).rsqrt() if weight is None else (variance + smallest).rsqrt() * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        channels = (1, -1, *[1] * (self.ndim - 2))
        return self * scale.view(channels) + shift.view(channels)

    def _rectified(self) -> Self:
        half, lower = F.relu(self.upper) / 2, self.lower
        return type(self)(half + F.relu(lower) / 2, torch.where(lower >= 0, self.radius, half))

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
        return type(self)(((high + low + reach_high - reach_low) / 2).view(shape), pooled.view(shape))

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
            )
        )

    def adaptive_avg_pool2d(self, output_size: Any) -> Self:
        return self._positive_linear(lambda values: F.adaptive_avg_pool2d(values, output_size))

    def _mean(self, dim: tuple[int, ...], keepdim: bool) -> Self:
        return self._positive_linear(lambda values: values.mean(dim=dim, keepdim=keepdim))

    def _moved(self, move: Move) -> Self:
        moved = self._positive_linear(move)
        moved._ellipsoid = self._ellipsoid and self._ellipsoid.moved(move)
        return moved

    @classmethod
    def _joined(cls, tensors: Sequence[Self], dim: int) -> Self:
        ellipsoids = [tensor._ellipsoid for tensor in tensors if tensor._ellipsoid is not None]
        return cls(
            torch.cat([tensor.centre for tensor in tensors], dim),
            torch.cat([tensor.radius for tensor in tensors], dim),
            Ellipsoid.joined(ellipsoids, dim) if len(ellipsoids) == len(tensors) else None,
        )

    def _plus(self, other: Any) -> Self:
        if isinstance(other, Interval):
            return type(self)(self.centre + other.centre, self.radius + other.radius)
        centre = self.centre + other
        return type(self)(centre, self.radius.expand_as(centre), self._ellipsoid and self._ellipsoid.plus(other))

    def _times(self, factor: Any) -> Self:
        magnitude = torch.where(factor >= 0, factor, -factor) if isinstance(factor, Tensor) else abs(factor)
        ellipsoid = self._ellipsoid and self._ellipsoid.times(factor)
        return type(self)(self.centre * factor, self.radius * magnitude, ellipsoid)

    def _positive_linear(self, function: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(function(self.centre), function(self.radius))

    def _linear_map(self, apply: LinearMap, coefficients: Tensor, shift: Tensor | None) -> Self:
        shift = coefficients.new_zeros(()) if shift is None else shift
        box = type(self)(apply(self.centre, coefficients) + shift, apply(self.radius, coefficients.abs()))
        if self._ellipsoid is None:
            return box
        centre = self._ellipsoid.centre
        image = apply(centre, coefficients) + shift
        reach = self._ellipsoid.reach(apply, coefficients)
        offset = apply(self.centre - centre, coefficients)  # of the box's middle from the image, exactly 0 where uncut
        below = torch.minimum(reach, (box.radius - offset).clamp(min=0))
        above = torch.minimum(reach, (box.radius + offset).clamp(min=0))
        return type(self)(image + (above - below) / 2, (above + below) / 2)


def _rows(values: Tensor, rows: Tensor) -> Tensor:
    """(N, D), (N, R, D) -> (N, R), other rows for each image."""
    return torch.einsum("nd,nrd->nr", values.expand(len(rows), -1), rows)


def _per_image(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.ndim - 1))
