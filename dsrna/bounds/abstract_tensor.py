"""The operations that a network may have, on something else than numbers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from dsrna.bounds.attention import Attention
from dsrna.bounds.entrywise import Entrywise
from dsrna.bounds.images_elsewhere import moved
from dsrna.bounds.movement import Move, is_view
from dsrna.bounds.multi_head_attention import MultiHeadAttention
from dsrna.bounds.normalisation import Normalisation
from dsrna.bounds.stand_in import StandIn


class AbstractTensor(Attention, MultiHeadAttention, Normalisation, Entrywise):
    """A batch of values that a network's own ``forward`` can be run on; a subclass says what each operation means.

    Operations that only move values (slices, reshaping, transposition, copying, padding with zeros) are all built on
    :meth:`_moved`. What isn't here is refused, see :class:`~dsrna.bounds.stand_in.StandIn`.
    """

    @abstractmethod
    def conv2d(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Self:
        """See :func:`torch.nn.functional.conv2d`."""

    @abstractmethod
    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Self:
        """See :func:`torch.nn.functional.linear`."""

    @abstractmethod
    def normalise(
        self, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, smallest: float
    ) -> Self:
        """(x - mean) / sqrt(variance + smallest) * weight + bias for each channel."""

    @abstractmethod
    def max_pool2d(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Self:
        """See :func:`torch.nn.functional.max_pool2d`."""

    @abstractmethod
    def avg_pool2d(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Self:
        """See :func:`torch.nn.functional.avg_pool2d`."""

    @abstractmethod
    def adaptive_avg_pool2d(self, output_size: Any) -> Self:
        """See :func:`torch.nn.functional.adaptive_avg_pool2d`."""

    @abstractmethod
    def _rectified(self) -> Self:
        """max(x, 0)."""

    @abstractmethod
    def _mean(self, dim: tuple[int, ...], keepdim: bool) -> Self:
        """See :func:`torch.mean`; over dimensions >= 1."""

    @abstractmethod
    def _moved(self, move: Move) -> Self:
        """The result of a function that moves the values of each image and brings in no new ones but zeros."""

    @classmethod
    @abstractmethod
    def _joined(cls, tensors: Sequence[Self], dim: int) -> Self:
        """See :func:`torch.cat`; over a dimension >= 1."""

    @abstractmethod
    def _plus(self, other: Any) -> Self:
        """Sum with another abstract tensor, or with known numbers that are broadcast."""

    @abstractmethod
    def _times(self, factor: Any) -> Self:
        """Product with known numbers that are broadcast."""

    def _product(self, other: Any) -> Self:
        """Product with another abstract tensor, or with one that is broadcast."""
        self._refuse("a product of two things that depend on the image")

    def __add__(self, other: Any) -> Self:
        self._check_broadcast(other)
        return self._plus(other)

    def __mul__(self, factor: Any) -> Self:
        if factor is self:
            return self.square()
        self._check_broadcast(factor)
        return self._product(factor) if isinstance(factor, AbstractTensor) else self._times(factor)

    def __radd__(self, other: Any) -> Self:
        return self + other

    def __rmul__(self, factor: Any) -> Self:
        return self * factor

    def __neg__(self) -> Self:
        return self * -1.0

    def __sub__(self, other: Any) -> Self:
        return self + -other

    def __rsub__(self, other: Any) -> Self:
        return -self + other

    def __truediv__(self, divisor: Any) -> Self:
        return self * divisor.reciprocal() if isinstance(divisor, AbstractTensor) else self._divide(divisor)

    def __rtruediv__(self, dividend: Any) -> Self:
        return self.reciprocal() * dividend

    def _divide(self, divisor: Any) -> Self:
        return self * (1 / divisor)

    def __iadd__(self, other: Any) -> Self:
        return self._become(self + other)

    def __isub__(self, other: Any) -> Self:
        return self._become(self - other)

    def __imul__(self, factor: Any) -> Self:
        return self._become(self * factor)

    def __itruediv__(self, divisor: Any) -> Self:
        return self._become(self / divisor)

    def relu(self, inplace: bool = False) -> Self:
        """See :func:`torch.nn.functional.relu`."""
        output: Self = self._once("_rectified", (), {})
        return self._become(output) if inplace else output

    def leaky_relu(self, negative_slope: float = 0.01, inplace: bool = False) -> Self:
        """See :func:`torch.nn.functional.leaky_relu`; s z + (1 - s) max(z, 0), which is as tight for 0 <= s <= 1."""
        output = self.relu() * (1 - negative_slope) + self * negative_slope
        return self._become(output) if inplace else output

    def mean(self, dim: Any = None, keepdim: bool = False) -> Self:
        """See :func:`torch.mean`; not over the images."""
        dims = () if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
        dims = tuple(axis % self.ndim for axis in dims)
        if not dims or 0 in dims:
            self._refuse("a mean over the images of a batch")
        return self._mean(dims, keepdim)

    def batch_norm(
        self,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Self:
        """See :func:`torch.nn.functional.batch_norm`; with running statistics alone."""
        if training or running_mean is None or running_var is None:
            self._refuse("BatchNorm with the batch's own statistics; put the network in evaluation mode")
        return self.normalise(running_mean, running_var, weight, bias, eps)

    def dropout(self, p: float = 0.5, training: bool = True, inplace: bool = False) -> Self:
        """See :func:`torch.nn.functional.dropout`; in evaluation mode alone."""
        if training:
            self._refuse("dropout in training mode; put the network in evaluation mode")
        return self

    def pad(self, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Self:
        """See :func:`torch.nn.functional.pad`; with zeros alone."""
        if mode != "constant" or value:
            self._refuse("padding with anything but zeros")
        return self.rearrange(lambda values: F.pad(values, tuple(pad)))

    @classmethod
    def cat(cls, tensors: Sequence[Any], dim: int = 0) -> Self:
        """See :func:`torch.cat`; not over the images. Known numbers are added where there were zeros."""
        dim = dim % tensors[0].ndim
        if dim == 0 or any(isinstance(tensor, StandIn) and not isinstance(tensor, cls) for tensor in tensors):
            cls._refuse_mixing()
        known = [tensor for tensor in tensors if not isinstance(tensor, cls)]
        mine = [tensor for tensor in tensors if isinstance(tensor, cls)]
        joined = cls._joined(mine, dim)
        if not known:
            return joined

        def spread(values: Tensor) -> Tensor:
            parts = iter(values.split([tensor.shape[dim] for tensor in mine], dim))
            return torch.cat(
                [next(parts) if isinstance(tensor, cls) else values.new_zeros(tensor.shape) for tensor in tensors], dim
            )

        between = [known[0].new_zeros(tensor.shape) if isinstance(tensor, cls) else tensor for tensor in tensors]
        output: Self = joined.rearrange(spread) + torch.cat(between, dim)
        return output

    def rearrange(self, move: Move) -> Any:
        """The result of a function that moves values and brings in no new ones but zeros; images stay apart.

        Where they end up along another dimension, as an :class:`~dsrna.bounds.images_elsewhere.ImagesElsewhere`.
        """
        return moved(self, move)

    def __getitem__(self, item: Any) -> Any:
        if not is_view(item):
            return self._slice(item)
        whole = isinstance(item, tuple) and all(isinstance(part, slice) for part in item)
        return self._viewed(self._once("_slice", (item,), {}) if whole else self._slice(item))

    def _slice(self, item: Any) -> Any:
        return self.rearrange(lambda values: values[item])

    def _check_broadcast(self, other: Any) -> None:
        """Refuses arithmetic after which the first dimension would not be that of the images."""
        shape = tuple(getattr(other, "shape", ()))
        if isinstance(other, StandIn) and not isinstance(other, AbstractTensor):
            self._refuse_mixing()
        if isinstance(other, AbstractTensor) and (len(shape) != self.ndim or shape[0] != self.shape[0]):
            self._refuse_mixing()
        if len(shape) > self.ndim or (len(shape) == self.ndim and shape[0] not in (1, self.shape[0])):
            self._refuse_mixing()
