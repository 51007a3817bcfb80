"""Products of matrices and softmax, of which attention is made."""

from __future__ import annotations

import math
from typing import Any, Self

from torch import Tensor

from dsrna.bounds.stand_in import StandIn


class Attention(StandIn):
    """Matrix products, by :meth:`_matrix_product` where both matrices depend on the image, and softmax."""

    def __matmul__(self, other: Any) -> Self:
        if isinstance(other, StandIn):
            if self.ndim < 3 or self.ndim != other.ndim or len(self) != len(other) or other.images_along != 0:
                self._refuse_mixing()
            return self._matrix_product(other)
        if not isinstance(other, Tensor) or other.ndim != 2 or self.ndim < 2:
            self._refuse("a product with anything but one known matrix")
        output: Self = self.linear(other.t())
        return output

    def __rmatmul__(self, known: Any) -> Self:
        if self.ndim < 3:
            self._refuse_mixing()
        output: Self = (self.transpose(-1, -2) @ known.transpose(-1, -2)).transpose(-1, -2)
        return output

    matmul = bmm = __matmul__

    def softmax(self, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Self:
        """See :func:`torch.nn.functional.softmax`; not over the images."""
        if dim is None or dtype not in (None, self.dtype):
            self._refuse("softmax without its dimension, or of another type")
        if dim % self.ndim == 0:
            self._refuse_mixing()
        if dim % self.ndim == self.ndim - 1:
            return self._softmax()
        output: Self = self.transpose(dim, -1)._softmax().transpose(dim, -1)
        return output

    def scaled_dot_product_attention(
        self,
        key: Any,
        value: Any,
        attn_mask: Any = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Self:
        """See :func:`torch.nn.functional.scaled_dot_product_attention`; without masks of bool and dropout."""
        if dropout_p > 0:
            self._refuse("dropout in attention; put the network in evaluation mode")
        if is_causal or enable_gqa or (attn_mask is not None and not attn_mask.is_floating_point()):
            self._refuse("attention with is_causal, enable_gqa or a mask of bool")
        scores = (self @ key.transpose(-2, -1)) * (1 / math.sqrt(self.shape[-1]) if scale is None else scale)
        scores = scores if attn_mask is None else scores + attn_mask
        output: Self = scores.softmax(-1) @ value
        return output

    def _matrix_product(self, other: Any) -> Self:
        """See :func:`torch.matmul`; of matrices in the last two of at least three dimensions, the same for both."""
        self._refuse("a matrix product of two things that depend on the image")

    def _softmax(self) -> Self:
        """Softmax over the last dimension."""
        self._refuse("softmax")
