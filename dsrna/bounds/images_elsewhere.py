"""Values whose images don't lie along the first dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from dsrna.bounds.movement import Move, images_after
from dsrna.bounds.multi_head_attention import MultiHeadAttention
from dsrna.bounds.stand_in import StandIn

if TYPE_CHECKING:
    from dsrna.bounds.abstract_tensor import AbstractTensor

_ENTRYWISE = {
    *("relu", "leaky_relu", "sigmoid", "tanh", "erf", "gelu", "silu", "dropout"),
    *("exp", "square", "sqrt", "rsqrt", "reciprocal", "pow"),
}


class ImagesElsewhere(MultiHeadAttention):
    """A value whose images lie along another dimension than the first, or one image without a dimension of its own.

    So it is on the way through attention: ``qkv.permute(2, 0, 3, 1, 4)``, then ``unbind``; tokens before images in
    torch.nn.MultiheadAttention. It can be moved, and what works entry by entry or along the last dimensions is done to
    the value that it stands for. All else is refused until the images are first again.

    Args:
        value: with the images first.
        along: the dimension where they seem to be, >= 1; None for a single image without one.
    """

    def __init__(self, value: AbstractTensor, along: int | None) -> None:
        self._value, self._along = value, along

    @property
    def images_along(self) -> int | None:
        return self._along

    @property
    def shape(self) -> torch.Size:
        count, *rest = self._value.shape
        if self._along is not None:
            rest.insert(self._along, count)
        return torch.Size(rest)

    @property
    def device(self) -> torch.device:
        return self._value.device

    @property
    def dtype(self) -> torch.dtype:
        return self._value.dtype

    def rearrange(self, move: Move) -> Any:
        return moved(self._value, lambda values: move(_outwards(values, self._along)))

    @classmethod
    def cat(cls, tensors: Any, dim: int = 0) -> Self:
        cls._refuse("concatenation of values whose images don't lie along the first dimension")

    def softmax(self, dim: int, _stacklevel: int = 3, dtype: Any = None) -> Self:
        """See :func:`torch.nn.functional.softmax`; not over the images."""
        dim = dim % self.ndim
        if dim == self._along:
            self._refuse_mixing()
        inside = dim + 1 if self._along is None or dim < self._along else dim
        return type(self)(self._value.softmax(inside, dtype=dtype), self._along)

    def __add__(self, other: Any) -> Self:
        return type(self)(self._value + self._beside(other), self._along)

    def __mul__(self, other: Any) -> Self:
        return type(self)(self._value * self._beside(other), self._along)

    def __sub__(self, other: Any) -> Self:
        return self + -other

    def __rsub__(self, other: Any) -> Self:
        return -self + other

    def __truediv__(self, other: Any) -> Self:
        return type(self)(self._value / self._beside(other), self._along)

    __radd__, __rmul__ = __add__, __mul__

    def __matmul__(self, other: Any) -> Self:
        self._check_last(2)
        other = self._beside(other) if isinstance(other, StandIn) else other
        return type(self)(self._value @ other, self._along)

    def __neg__(self) -> Self:
        return type(self)(-self._value, self._along)

    def __pow__(self, exponent: Any) -> Self:
        return type(self)(self._value**exponent, self._along)

    matmul = bmm = __matmul__

    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Self:
        """See :func:`torch.nn.functional.linear`."""
        self._check_last(1)
        return type(self)(self._value.linear(weight, bias), self._along)

    def layer_norm(self, normalized_shape: Any, *args: Any, **kwargs: Any) -> Self:
        """See :func:`torch.nn.functional.layer_norm`; not over the images."""
        self._check_last(len(normalized_shape))
        return type(self)(self._value.layer_norm(normalized_shape, *args, **kwargs), self._along)

    def __getattr__(self, name: str) -> Any:
        if name not in _ENTRYWISE or "_stale" in vars(self):
            return super().__getattr__(name)

        def applied(*args: Any, **kwargs: Any) -> ImagesElsewhere:
            if kwargs.get("inplace"):
                self._in_place()
            return type(self)(getattr(self._value, name)(*args, **kwargs), self._along)

        return applied

    def __getitem__(self, item: Any) -> Any:
        return self._viewed(self.rearrange(lambda values: values[item]))

    def _in_place(self, *_: Any) -> Any:
        self._refuse("an in-place change of a value whose images don't lie along the first dimension")

    __iadd__ = __isub__ = __imul__ = __itruediv__ = _in_place
    __rtruediv__ = __rmatmul__ = StandIn._no_rule

    def _check_last(self, count: int) -> None:
        """Refuses what would work along the images' dimension."""
        if count > self.ndim or (self._along is not None and self._along >= self.ndim - count):
            self._refuse_mixing()

    def _beside(self, other: Any) -> Any:
        """The other operand, as it stands beside the value with the images first."""
        if isinstance(other, ImagesElsewhere):
            if other._along != self._along or other.ndim != self.ndim:
                self._refuse_mixing()
            return other._value
        if isinstance(other, StandIn):
            self._refuse_mixing()
        if not isinstance(other, Tensor) or other.ndim == 0:
            return other
        return _inwards(other.expand(self.shape), self._along)


def moved(value: AbstractTensor, move: Move) -> Any:
    """A value (N, ...) after a move: an abstract tensor where images are first, else an :class:`ImagesElsewhere`."""
    along = images_after(move, value.shape, value.device)
    if along == 0:
        return value._moved(move)
    if along == "mixed":
        value._refuse_mixing()
    return ImagesElsewhere(value._moved(lambda values: _inwards(move(values), along)), along)


def _inwards(values: Tensor, along: int | None) -> Tensor:
    return values.unsqueeze(0) if along is None else values.movedim(along, 0)


def _outwards(values: Tensor, along: int | None) -> Tensor:
    return values.squeeze(0) if along is None else values.movedim(0, along)
