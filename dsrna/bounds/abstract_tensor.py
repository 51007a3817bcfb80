"""What stands for a tensor while a network's own forward runs on something else than numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from copy import copy
from functools import cached_property
from typing import Any, NoReturn, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from dsrna.errors import UnsupportedError

_METHODS: dict[Any, str] = {
    F.conv2d: "conv2d",
    F.linear: "linear",
    F.batch_norm: "batch_norm",
    F.relu: "relu",
    torch.relu: "relu",
    torch.max_pool2d: "max_pool2d",
    F.max_pool2d: "max_pool2d",
    F.avg_pool2d: "avg_pool2d",
    F.adaptive_avg_pool2d: "adaptive_avg_pool2d",
    F.dropout: "dropout",
    F.pad: "pad",
    torch.mean: "mean",
    torch.flatten: "flatten",
    torch.reshape: "reshape",
    torch.add: "__add__",
    Tensor.add: "__add__",
    Tensor.__add__: "__add__",
    torch.sub: "__sub__",
    Tensor.sub: "__sub__",
    Tensor.__sub__: "__sub__",
    torch.mul: "__mul__",
    Tensor.mul: "__mul__",
    Tensor.__mul__: "__mul__",
}
"""torch function -> the method of an abstract tensor that stands for it."""


_SHARED = {"relu", "max_pool2d", "avg_pool2d"}
"""Methods whose results are kept with the tensor, for the next who asks for the same."""


class AbstractTensor(ABC):
    """A batch of values that a network's own ``forward`` can be run on.

    torch hands every function that meets one to :meth:`__torch_function__`, which looks it up in a table. So a bound
    or a lowered network always follows the forward that is really computed, there is no second description of a
    network that could go out of date, and what isn't in the table is refused.

    A subclass says what each operation of the table means. Operations that only move values (slices, reshaping,
    transposition, padding with zeros) are all built on :meth:`rearrange`.
    """

    @property
    @abstractmethod
    def shape(self) -> torch.Size:
        """(N, ...) as a tensor would have."""

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
    def relu(self, inplace: bool = False) -> Self:
        """See :func:`torch.nn.functional.relu`."""

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
    def mean(self, dim: Any, keepdim: bool = False) -> Self:
        """See :func:`torch.mean`."""

    @abstractmethod
    def rearrange(self, move: Callable[[Tensor], Tensor]) -> Self:
        """The result of a function that moves the values of a tensor and brings in no new ones but zeros."""

    @classmethod
    @abstractmethod
    def cat(cls, tensors: Sequence[Self], dim: int = 0) -> Self:
        """See :func:`torch.cat`."""

    @abstractmethod
    def __add__(self, other: Any) -> Self:
        """Sum with another abstract tensor, or with known numbers."""

    @abstractmethod
    def __mul__(self, factor: Any) -> Self:
        """Product with known numbers."""

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
        if isinstance(divisor, AbstractTensor):
            self._refuse("division by something that depends on the image")
        return self._divide(divisor)

    def _divide(self, divisor: Any) -> Self:
        return self * (1 / divisor)

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

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Self:
        """See :func:`torch.flatten`."""
        return self.rearrange(lambda values: values.flatten(start_dim, end_dim))

    def unflatten(self, dim: int, sizes: Sequence[int]) -> Self:
        """See :meth:`torch.Tensor.unflatten`."""
        return self.rearrange(lambda values: values.unflatten(dim, tuple(sizes)))

    def transpose(self, first: int, second: int) -> Self:
        """See :func:`torch.transpose`."""
        return self.rearrange(lambda values: values.transpose(first, second))

    def reshape(self, *shape: Any) -> Self:
        """See :meth:`torch.Tensor.reshape`."""
        return self.rearrange(lambda values: values.reshape(*shape))

    view = reshape

    def __getitem__(self, item: Any) -> Self:
        return self._once("_slice", (item,), {}) if _is_slice(item) else self._slice(item)

    def _slice(self, item: Any) -> Self:
        return self.rearrange(lambda values: values[item])

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def dim(self) -> int:
        """Number of dimensions."""
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        """See :meth:`torch.Tensor.size`."""
        return self.shape if dim is None else self.shape[dim]

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.cat, torch.concat):
            return cls.cat(*args, **kwargs)
        method = _METHODS.get(func)
        if method is None:
            cls._refuse(f"torch function `{getattr(func, '__name__', func)}`")
        if isinstance(args[0], AbstractTensor):
            apply = args[0]._once if method in _SHARED else args[0]._apply
            return apply(method, args[1:], kwargs)
        if not (method.startswith("__") and isinstance(args[1], AbstractTensor)):
            cls._refuse(f"`{getattr(func, '__name__', func)}` with weights that depend on the image")
        return getattr(args[1], method.replace("__", "__r", 1))(args[0], **kwargs)

    def _apply(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return getattr(self, method)(*args, **kwargs)

    def _once(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operations of a supernet ask for the same thing of the same state again and again."""
        if kwargs.get("inplace"):
            self._results = {}  # another dictionary, as copies of what this was go on with theirs
            return self._apply(method, args, kwargs)
        key = repr((method, args, kwargs))
        if key not in self._results:
            self._results[key] = self._apply(method, args, kwargs)
            _ = self._results[key]._results  # made now, so that the copies share it
        return copy(self._results[key])  # as one of them may be changed in place

    @cached_property
    def _results(self) -> dict[str, Self]:
        return {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._refuse(f"tensor method `{name}`")

    @classmethod
    def _refuse(cls, what: str) -> NoReturn:
        raise UnsupportedError(
            f"No bound is known for {what}. Bounds exist for conv2d, linear, BatchNorm and dropout in evaluation mode, "
            "ReLU, max and average pooling, means, sums, products with known numbers, concatenation, slices and "
            "zero padding: write the layer with these, or add a rule to dsrna.bounds."
        )


def _is_slice(item: Any) -> bool:
    return isinstance(item, tuple) and all(isinstance(part, slice) for part in item)
