"""An l_2 ball until the first operation that mixes values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from dsrna.bounds.movement import Move

LinearMap = Callable[[Tensor, Tensor], Tensor]
"""(values, coefficients) -> linear in each of them, e.g. a convolution."""


class Ellipsoid(NamedTuple):
    """Values that each move with one pixel of the image: centre + scale * d[pixel] for all ||d||_2 <= eps.

    Values may have been moved, left out and copied on the way from the image.

    Attributes:
        centre: (N, ...).
        scale: (N, ...).
        pixel: (N, ...) int64, 1 + the place of the pixel in the flattened image; 0 for a zero that was padded.
        pixels: how many an image has.
        eps: (N,).
        drift: (N, ...), how far values may be off because of rounding; None for not at all.
    """

    centre: Tensor
    scale: Tensor
    pixel: Tensor
    pixels: int
    eps: Tensor
    drift: Tensor | None = None

    @classmethod
    def ball(cls, x: Tensor, eps: Tensor) -> Self:
        """The l_2 ball of radius eps (N,) around each image (N, ...)."""
        pixels = x.shape[1:].numel()
        numbers = torch.arange(1, pixels + 1, device=x.device).view(1, *x.shape[1:])
        return cls(x, torch.ones_like(x[:1]).expand_as(x), numbers.expand_as(x), pixels, eps)

    def moved(self, move: Move) -> Self:
        """After a function that moves values of each image, and may copy them."""
        drift = None if self.drift is None else move(self.drift)
        return self._replace(centre=move(self.centre), scale=move(self.scale), pixel=move(self.pixel), drift=drift)

    def drifted(self, rounding: Tensor) -> Self:
        """After a further rounding (N, ...)."""
        return self._replace(drift=rounding if self.drift is None else self.drift + rounding)

    def plus(self, known: Tensor | float) -> Self:
        """After a sum with known numbers."""
        return self._broadcast(self.centre + known, self.scale, self.drift)

    def times(self, known: Tensor | float) -> Self:
        """After a product with known numbers."""
        drift = None if self.drift is None else (self.drift * known).abs()
        return self._broadcast(self.centre * known, self.scale * known, drift)

    @classmethod
    def joined(cls, parts: Sequence[Self], dim: int) -> Self:
        """After a concatenation of values that all come from one ball."""
        drifts = [torch.zeros_like(part.centre) if part.drift is None else part.drift for part in parts]
        return parts[0]._replace(
            centre=torch.cat([part.centre for part in parts], dim),
            scale=torch.cat([part.scale for part in parts], dim),
            pixel=torch.cat([part.pixel for part in parts], dim),
            drift=torch.cat(drifts, dim) if any(part.drift is not None for part in parts) else None,
        )

    def reach(self, apply: LinearMap, coefficients: Tensor) -> Tensor:
        """How far from its middle a linear function of the values gets: at most eps ||(its gradient to the image)||_2.

        The gradient to a pixel is a sum over its copies, whose square is at most their number times the sum of their
        squares (Cauchy and Schwarz): equal where there are no copies, or all have the same part in the function.
        """
        pixel = self.pixel.flatten(1)
        count = self.scale.new_zeros(len(pixel), self.pixels + 1).scatter_add(
            1, pixel, self.scale.new_ones(1, 1).expand(pixel.shape)
        )
        copies = count.gather(1, pixel).view(self.pixel.shape)
        squares = apply(self.scale.square() * copies, coefficients.square())
        # The floor keeps the gradient of the root finite at rows of zeros.
        length = squares.clamp(min=torch.finfo(squares.dtype).tiny).sqrt()
        reach = self.eps.reshape(-1, *[1] * (length.ndim - 1)) * length
        return reach if self.drift is None else reach + apply(self.drift, coefficients.abs())

    def _broadcast(self, centre: Tensor, scale: Tensor, drift: Tensor | None) -> Self:
        return self._replace(
            centre=centre,
            scale=scale.expand_as(centre),
            pixel=self.pixel.expand_as(centre),
            drift=None if drift is None else drift.expand_as(centre),
        )
