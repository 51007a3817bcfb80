"""Boxes around values, and arithmetic on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor

from dsrna.bounds.abstract_tensor import AbstractTensor
from dsrna.bounds.ellipsoid import Ellipsoid, LinearMap
from dsrna.bounds.movement import Move
from dsrna.bounds.rounding import accumulated, unit_roundoff
from dsrna.types import Norm


class Box(AbstractTensor):
    """All values between centre - radius and centre + radius, entry by entry; what layers make of them: see Interval.

    - A linear map W has centre W c + b, radius |W| r; at the first one of an l_2 ball also eps * ||w||_2 for each row
      w, whichever is tighter;
    - sums, concatenation, zero padding, slices: to centre and radius. A product with operation weights w has the
      radius |w| r, whose derivative at w = 0 is taken from the right, as operation weights are never negative.

    With a ``unit`` of rounding, every result is widened by :attr:`rounding`, what its n roundings can change:
    gamma_n = n u / (1 - n u) times the magnitudes that went into it, |W| |x| + |b|. Then the box contains what the
    network gives in floating point arithmetic too, layer by layer, and the errors of the box's own arithmetic.

    Args:
        centre: (N, ...).
        radius: (N, ...), >= 0.
        ellipsoid: of an l_2 ball, a smaller set that contains the values too; None: there is none.

    Attributes:
        rounding: (N, ...), what the last operation's own rounding can change; None without a unit, and for operations
            that only move values.
        undefined: (N,) bool, for which images a function may have no value somewhere in the ball, such as 1 / x at 0;
            one for all that came out of a ball, None for a box by itself. Bounds of these images mean nothing.
    """

    def __init__(self, centre: Tensor, radius: Tensor, ellipsoid: Ellipsoid | None = None) -> None:
        self.centre = centre
        self.radius = radius
        self._ellipsoid = ellipsoid
        self._unit = 0.0
        self.rounding: Tensor | None = None
        self.undefined: Tensor | None = None

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
        box.undefined = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        if norm == "l2":
            box._ellipsoid = Ellipsoid.ball(x, radii)
        if unit > 0:
            box._unit = unit
            box.radius = box.radius + 4 * unit_roundoff(x.dtype) * (x + box.radius)
        return box

    @classmethod
    def between(cls, lower: Tensor, upper: Tensor, unit: float = 0.0) -> Self:
        """Any box (N, ...), given by its ends; as for :meth:`ball`, a little more with a unit of rounding."""
        box = cls((lower + upper) / 2, (upper - lower) / 2)
        box.undefined = torch.zeros(len(lower), dtype=torch.bool, device=lower.device)
        box._unit = unit
        box.radius = box.radius + 4 * unit_roundoff(lower.dtype) * torch.maximum(lower.abs(), upper.abs())
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
    def dtype(self) -> torch.dtype:
        return self.centre.dtype

    @property
    def magnitude(self) -> Tensor:
        """(N, ...) the largest absolute value."""
        return self.centre.abs() + self.radius

    def narrowed(self, lower: Tensor, upper: Tensor) -> Self:
        """The same value between other ends (N, ...), which only rounding can make look exchanged."""
        half = (upper - lower).abs() / 2
        return self._made((lower + upper) / 2, half)

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
        if isinstance(other, Box):
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
        made._unit, made.undefined = self._unit, self.undefined
        if self._unit > 0 and size is not None:
            made.rounding = accumulated(operations, self._unit) * size()
            made.radius = radius + made.rounding
            made._ellipsoid = ellipsoid and ellipsoid.drifted(made.rounding)
        return made


def _per_image(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.ndim - 1))
