"""What stands for a tensor while a network's own forward runs on something else than numbers."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from copy import copy
from functools import cached_property
from typing import Any, NoReturn, Self
from weakref import ref

import torch
from torch import Tensor
from torch.nn import functional as F

from dsrna.bounds.movement import COPIES, PARTS, VIEWS, Move
from dsrna.errors import UnsupportedError

_METHODS: dict[Any, str] = {
    F.conv2d: "conv2d",
    F.linear: "linear",
    F.batch_norm: "batch_norm",
    F.layer_norm: "layer_norm",
    torch.layer_norm: "layer_norm",
    F.group_norm: "group_norm",
    torch.group_norm: "group_norm",
    F.instance_norm: "instance_norm",
    torch.instance_norm: "instance_norm",
    F.relu: "relu",
    torch.relu: "relu",
    F.leaky_relu: "leaky_relu",
    torch.sigmoid: "sigmoid",
    torch.tanh: "tanh",
    F.gelu: "gelu",
    F.silu: "silu",
    **{getattr(torch, name): name for name in ("erf", "exp", "square", "sqrt", "rsqrt", "reciprocal", "pow")},
    F.softmax: "softmax",
    torch.softmax: "softmax",
    F.scaled_dot_product_attention: "scaled_dot_product_attention",
    torch.max_pool2d: "max_pool2d",
    F.max_pool2d: "max_pool2d",
    F.avg_pool2d: "avg_pool2d",
    F.adaptive_avg_pool2d: "adaptive_avg_pool2d",
    F.dropout: "dropout",
    F.pad: "pad",
    torch.mean: "mean",
    F.multi_head_attention_forward: "multi_head_attention_forward",
    **{getattr(torch, name): name for name in VIEWS | COPIES | PARTS if hasattr(torch, name)},
    torch.add: "__add__",
    Tensor.add: "__add__",
    Tensor.__add__: "__add__",
    torch.sub: "__sub__",
    Tensor.sub: "__sub__",
    Tensor.__sub__: "__sub__",
    torch.mul: "__mul__",
    Tensor.mul: "__mul__",
    Tensor.__mul__: "__mul__",
    torch.div: "__truediv__",
    torch.true_divide: "__truediv__",
    Tensor.div: "__truediv__",
    Tensor.__truediv__: "__truediv__",
    torch.matmul: "__matmul__",
    torch.bmm: "__matmul__",
    Tensor.matmul: "__matmul__",
    Tensor.__matmul__: "__matmul__",
}
"""torch function -> the method of an abstract tensor that stands for it."""

_SHARED = {"max_pool2d", "avg_pool2d"}
"""Methods whose results are kept with the tensor, for the next who asks for the same."""

_OF_SEVERAL = {"scaled_dot_product_attention", "multi_head_attention_forward"}
"""Methods that take several abstract tensors."""

_DIMENSIONS = {"conv2d": 4, "max_pool2d": 4, "avg_pool2d": 4, "adaptive_avg_pool2d": 4}
"""Functions that take a batch with fewer dimensions for a single image."""


class StandIn(ABC):
    """How torch's and Python's calls get to the rules of an abstract tensor, and what is refused.

    torch hands every function that meets one to :meth:`__torch_function__`, which looks it up in a table. So a bound
    or a lowered network always follows the forward that is really computed, there is no second description of a
    network that could go out of date, and what isn't in the table is refused: functions and methods without a rule,
    everything that mixes the images of a batch, and Python's own questions about the values. In-place arithmetic is
    followed for all who hold the value; where it reaches another one through a view, that one is refused from then on.
    """

    _kin: list[ref[StandIn]]  # values that share their memory with this one, itself among them; if there are any

    @property
    @abstractmethod
    def shape(self) -> torch.Size:
        """(N, ...) as a tensor would have."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where indices of its values have to be."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """Of its values."""

    @property
    def images_along(self) -> int | None:
        """The dimension along which its images lie; None for one image without a dimension of its own."""
        return 0

    @property
    def is_nested(self) -> bool:
        """See :attr:`torch.Tensor.is_nested`."""
        return False

    def is_floating_point(self) -> bool:
        """Whether its values are."""
        return self.dtype.is_floating_point

    @abstractmethod
    def rearrange(self, move: Move) -> Any:
        """The result of a function that moves values and brings in no new ones but zeros; images stay apart."""

    @classmethod
    @abstractmethod
    def cat(cls, tensors: Any, dim: int = 0) -> Self:
        """See :func:`torch.cat`."""

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

    def __len__(self) -> int:
        return self.shape[0]

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", func)
        if func in (torch.cat, torch.concat):
            if kwargs.keys() - {"tensors", "dim"}:
                cls._refuse("`cat` with anything but tensors and a dimension")
            return cls.cat(*args, **kwargs)
        method = _METHODS.get(func)
        if method is None or not args:
            cls._refuse(f"torch function `{name}`")
        first, *rest = args
        if method.startswith("__") and rest and isinstance(rest[0], StandIn) and len(rest) == 1:
            if isinstance(first, StandIn):
                return first._apply(method, (rest[0],), kwargs)
            return rest[0]._apply(method.replace("__", "__r", 1), (first,), kwargs)
        several = any(isinstance(other, StandIn) for other in (*rest, *kwargs.values()))
        if not isinstance(first, StandIn) or (several and method not in _OF_SEVERAL):
            cls._refuse(f"`{name}` with weights that depend on the image")
        if first.ndim != _DIMENSIONS.get(method, first.ndim) or (method == "linear" and first.ndim < 2):
            first._refuse_mixing()
        return (first._once if method in _SHARED else first._apply)(method, tuple(rest), kwargs)

    def _apply(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        function = getattr(self, method)
        try:
            return function(*args, **kwargs)
        except TypeError:
            try:
                inspect.signature(function).bind(*args, **kwargs)
            except TypeError:
                self._refuse(f"`{method.strip('_')}` with the arguments {(*args, *kwargs)}")
            raise

    def _once(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operations of a supernet ask for the same thing of the same state again and again."""
        key = repr((method, args, kwargs))
        if key not in self._results:
            self._results[key] = self._apply(method, args, kwargs)
            _ = self._results[key]._results  # made now, so that the copies share it
        return copy(self._results[key])  # as one of them may be changed in place

    @cached_property
    def _results(self) -> dict[str, Self]:
        return {}

    def _become(self, output: Self) -> Self:
        """An in-place change: whoever holds this value sees it, as with a tensor.

        Views of it, and what it's a view of, would have to change with it; they become unusable instead.
        """
        if output.shape != self.shape:
            self._refuse("an in-place change that would change the shape")
        content = {name: value for name, value in vars(output).items() if name not in ("_results", "_kin")}
        for relative in (reference() for reference in vars(self).get("_kin", ())):
            if relative is not None:
                vars(relative).clear()
                vars(relative)["_stale"] = True
        vars(self).clear()
        vars(self).update(content)
        return self

    def _viewed(self, view: Self) -> Self:
        self._kin = vars(self).get("_kin") or [ref(self)]
        self._kin.append(ref(view))
        view._kin = self._kin
        return view

    def __getattr__(self, name: str) -> Any:
        if "_stale" in vars(self):
            self._refuse(
                "a value that shared its memory with one that was changed in place, as by `y = x.flatten(1); y += 1`; "
                "make a new value instead, `y = y + 1`, or `inplace=False`"
            )
        if name in VIEWS:
            return lambda *args, **kwargs: self._viewed(self.rearrange(lambda v: getattr(v, name)(*args, **kwargs)))
        if name in COPIES:
            return lambda *args, **kwargs: self.rearrange(lambda v: getattr(v, name)(*args, **kwargs))
        if name in PARTS:
            return lambda *args, **kwargs: self._parts(lambda v: getattr(v, name)(*args, **kwargs))
        if name.startswith("_"):
            raise AttributeError(name)
        return self._refuse(f"tensor method `{name}`")

    def _parts(self, divide: Callable[[Tensor], Sequence[Tensor]]) -> tuple[Any, ...]:
        def part(place: int) -> Any:
            return self._viewed(self.rearrange(lambda values: divide(values)[place]))

        return tuple(part(place) for place in range(len(divide(torch.empty(self.shape, device="meta")))))

    def _question(self, *_: Any) -> NoReturn:
        self._refuse("a forward that asks for the values of what depends on the image, as in `if x.max() > 0`")

    __bool__ = __float__ = __int__ = __index__ = __contains__ = _question
    __lt__ = __le__ = __gt__ = __ge__ = _question
    __eq__ = __ne__ = _question
    __hash__ = object.__hash__

    def _no_rule(self, *_: Any) -> NoReturn:
        self._refuse("an operator that is none of + - * / @ and **")

    __rpow__ = __mod__ = __floordiv__ = __abs__ = _no_rule

    def __setitem__(self, item: Any, value: Any) -> NoReturn:
        self._refuse("an assignment to some of a value's entries; put the value together with `torch.cat`")

    @classmethod
    def _refuse_mixing(cls) -> NoReturn:
        cls._refuse("an operation that mixes the images of a batch")

    @classmethod
    def _refuse(cls, what: str) -> NoReturn:
        raise UnsupportedError(
            f"No bound is known for {what}. Bounds exist for conv2d, linear, BatchNorm and dropout in evaluation mode, "
            "LayerNorm, GroupNorm, InstanceNorm, ReLU, LeakyReLU, Sigmoid, Tanh, GELU, SiLU, max and average pooling, "
            "means, sums, products, quotients, matrix products, softmax, concatenation, slices and zero padding: write "
            "the layer with these, or add a rule to dsrna.bounds."
        )
