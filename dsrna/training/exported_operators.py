"""The operators of exported programs, by name: those that image classifiers are made of, and none that does more."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.nn import functional as F

from dsrna.errors import UnsupportedError
from dsrna.functional.pooling import average_pool

_ATEN = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)")


def function_of(target: str) -> Callable[..., Any]:
    """What an operator's name in a program stands for.

    Operators that bound engines have rules for are torch's own functions, others ATen's: pure ones, which compute
    tensors from tensors. A file can name no other function, whatever it holds.

    Raises:
        UnsupportedError: it is another one; the message names it.
    """
    if target in _FUNCTIONS:
        return _FUNCTIONS[target]
    named = _ATEN.fullmatch(target)
    overload = named and getattr(getattr(torch.ops.aten, named[1], None), named[2], None)
    if isinstance(overload, OpOverload) and _is_pure(overload):
        function: Callable[..., Any] = overload
        return function
    raise UnsupportedError(f"No rule for the operator {target}")


def _is_pure(overload: OpOverload) -> bool:
    """Whether it computes tensors from tensors and nothing else: no files, no random numbers, nothing changed."""
    schema = overload._schema
    first = str(schema.arguments[0].type) if schema.arguments else ""
    name = schema.name.removeprefix("aten::")
    return (
        first in ("Tensor", "List[Tensor]")
        and not schema.is_mutable
        and torch.Tag.nondeterministic_seeded not in overload.tags
        and (not name.startswith("_") or name in _PRIVATE)
    )


_PRIVATE = {
    *("_adaptive_avg_pool2d", "_native_batch_norm_legit_no_training", "_softmax", "_log_softmax", "_to_copy"),
    *("_unsafe_view",),
}
"""Those among ATen's own names that a network is decomposed into."""


def _batch_norm(
    x: Any, weight: Any, bias: Any, mean: Any, variance: Any, training: bool, momentum: float, eps: float, _: bool
) -> Any:
    _refuse_training(training)
    return F.batch_norm(x, mean, variance, weight, bias, False, momentum, eps)


def _dropout(x: Any, probability: float, training: bool) -> Any:
    _refuse_training(training)
    return x


def _attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, dropout: float = 0.0, causal: bool = False, **more: Any
) -> Tensor:
    _refuse_training(dropout > 0)
    return F.scaled_dot_product_attention(q, k, v, mask, 0.0, causal, **more)


def _refuse_training(training: bool) -> None:
    if training:
        raise UnsupportedError("No rule for layers in training mode: export the network after network.eval().")


def _scaled(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """A sum or difference, whose second term ATen multiplies by ``alpha``."""
    return lambda x, y, alpha=1: function(x, y if alpha == 1 else y * alpha)


def _slice(x: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Any:
    return x[(*(slice(None),) * (dim % x.ndim), slice(start, end, step))]


def _average_pool(x: Any, kernel: Any, stride: Any = (), *more: Any) -> Any:
    return average_pool(x, _pair(kernel), _pair(stride) or None, *map(_pair, more))


def _max_pool(x: Any, kernel: Any, stride: Any = (), *more: Any) -> Any:
    return F.max_pool2d(x, _pair(kernel), _pair(stride) or None, *map(_pair, more))


def _pair(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _in_place(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *args: function(x, *args, inplace=True)


_IN_PLACE: dict[str, Callable[..., Any]] = {
    "add_.Tensor": _scaled(operator.iadd),
    "div_.Tensor": operator.itruediv,
    "elu_.default": _in_place(F.elu),
    "hardsigmoid_.default": _in_place(F.hardsigmoid),
    "hardswish_.default": _in_place(F.hardswish),
    "hardtanh_.default": _in_place(F.hardtanh),
    "leaky_relu_.default": _in_place(F.leaky_relu),
    "mul_.Tensor": operator.imul,
    "relu_.default": _in_place(F.relu),
    "silu_.default": _in_place(F.silu),
    "sub_.Tensor": _scaled(operator.isub),
}
"""They change their first argument, which may be anything but a weight."""

_OUT_OF_PLACE: dict[str, Callable[..., Any]] = {
    "adaptive_avg_pool2d.default": F.adaptive_avg_pool2d,
    "add.Tensor": _scaled(operator.add),
    "avg_pool2d.default": _average_pool,
    "batch_norm.default": _batch_norm,
    "bmm.default": torch.bmm,
    "cat.default": torch.cat,
    "clone.default": torch.clone,
    "conv2d.default": F.conv2d,
    "conv2d.padding": F.conv2d,
    "div.Tensor": operator.truediv,
    "dropout.default": _dropout,
    "dropout_.default": _dropout,
    "feature_dropout.default": _dropout,
    "flatten.using_ints": torch.flatten,
    "gelu.default": F.gelu,
    "leaky_relu.default": F.leaky_relu,
    "group_norm.default": lambda x, groups, weight=None, bias=None, eps=1e-5, _=True: F.group_norm(
        x, groups, weight, bias, eps
    ),
    "layer_norm.default": lambda x, shape, weight=None, bias=None, eps=1e-5, _=True: F.layer_norm(
        x, shape, weight, bias, eps
    ),
    "linear.default": F.linear,
    "matmul.default": torch.matmul,
    "max_pool2d.default": _max_pool,
    "mean.dim": torch.mean,
    "mul.Tensor": operator.mul,
    "pad.default": F.pad,
    "permute.default": torch.permute,
    "relu.default": F.relu,
    "reshape.default": torch.reshape,
    "scaled_dot_product_attention.default": _attention,
    "sigmoid.default": torch.sigmoid,
    "silu.default": F.silu,
    "slice.Tensor": _slice,
    "softmax.int": torch.softmax,
    "squeeze.dim": torch.squeeze,
    "sub.Tensor": _scaled(operator.sub),
    "sym_size.int": lambda x, dim: x.shape[dim],
    "tanh.default": torch.tanh,
    "transpose.int": torch.transpose,
    "unsqueeze.default": torch.unsqueeze,
    "view.default": torch.reshape,
}

_FUNCTIONS = {
    **{f"torch.ops.aten.{name}": function for name, function in (_OUT_OF_PLACE | _IN_PLACE).items()},
    **{f"_operator.{name}": getattr(operator, name) for name in ("add", "sub", "mul", "floordiv", "mod", "neg")},
}
"""Name in a program -> function of the same arguments."""

CHANGES_FIRST = {f"torch.ops.aten.{name}" for name in _IN_PLACE}
"""Operators that change their first argument."""

ASSERTIONS = {
    *("torch.ops.aten._assert_scalar.default", "torch.ops.aten._assert_tensor_metadata.default"),
    *("torch.ops.aten.sym_constrain_range.default", "torch.ops.aten.sym_constrain_range_for_size.default"),
}
"""Operators that give nothing."""
