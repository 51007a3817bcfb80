"""What ONNX's operations compute, by torch's functions, which bounds can follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dsrna.errors import UnsupportedError
from dsrna.functional.pooling import average_pool

Values = list[Any]
"""A node's inputs: tensors, or what stands for them; None for one that is left out."""


def _conv(values: Values, attributes: dict[str, Any]) -> Any:
    _only(attributes, "Conv", auto_pad=b"NOTSET")
    x, weight, *bias = values
    x, padding = _padded(x, attributes.get("pads", [0, 0, 0, 0]))
    steps, gaps = (tuple(attributes.get(name, (1, 1))) for name in ("strides", "dilations"))
    return F.conv2d(x, weight, bias[0] if bias else None, steps, padding, gaps, attributes.get("group", 1))


def _gemm(values: Values, attributes: dict[str, Any]) -> Any:
    _only(attributes, "Gemm", transA=0, alpha=1.0, beta=1.0)
    x, weight, *bias = values
    return F.linear(x, weight if attributes.get("transB") else weight.t(), bias[0] if bias else None)


def _matmul(values: Values, attributes: dict[str, Any]) -> Any:
    x, weight = values
    if isinstance(weight, Tensor) and weight.ndim == 2:
        return F.linear(x, weight.t())
    return torch.matmul(x, weight)


def _batch_norm(values: Values, attributes: dict[str, Any]) -> Any:
    x, weight, bias, mean, variance = values
    return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, attributes.get("epsilon", 1e-5))


def _layer_norm(values: Values, attributes: dict[str, Any]) -> Any:
    x, *scales = values
    sizes = tuple(x.shape[attributes.get("axis", -1) :])
    weight, bias = (scales[i].expand(sizes) if i < len(scales) and scales[i] is not None else None for i in (0, 1))
    return F.layer_norm(x, sizes, weight, bias, attributes.get("epsilon", 1e-5))


def _group_norm(values: Values, attributes: dict[str, Any]) -> Any:
    x, weight, bias = values
    groups = attributes["num_groups"]
    if len(weight) == groups:  # up to opset 20 a weight a group, then a channel
        weight, bias = (scale.repeat_interleave(x.shape[1] // groups) for scale in (weight, bias))
    return F.group_norm(x, groups, weight, bias, attributes.get("epsilon", 1e-5))


def _instance_norm(values: Values, attributes: dict[str, Any]) -> Any:
    x, weight, bias = values
    return F.instance_norm(x, None, None, weight, bias, True, 0.0, attributes.get("epsilon", 1e-5))


def _softmax(values: Values, attributes: dict[str, Any]) -> Any:
    return F.softmax(values[0], attributes.get("axis", -1))


def _mean(values: Values, attributes: dict[str, Any]) -> Any:
    x, *axes = values
    axes = axes[0].tolist() if axes else attributes.get("axes", range(len(x.shape)))
    return x.mean(tuple(axes), bool(attributes.get("keepdims", 1)))


def _power(values: Values, attributes: dict[str, Any]) -> Any:
    x, exponent = values
    if not isinstance(exponent, Tensor) or exponent.numel() != 1:
        raise UnsupportedError("No rule for a Pow but to a known power, the same for all values.")
    return torch.pow(x, exponent.item())


def _gelu(values: Values, attributes: dict[str, Any]) -> Any:
    return F.gelu(values[0], approximate=attributes.get("approximate", b"none").decode())


def _max_pool(values: Values, attributes: dict[str, Any]) -> Any:
    _only(attributes, "MaxPool", auto_pad=b"NOTSET", storage_order=0)
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    if (top, left) != (bottom, right):
        raise UnsupportedError("No rule for a MaxPool with other padding on opposite sides.")
    gaps, ceil = tuple(attributes.get("dilations", (1, 1))), bool(attributes.get("ceil_mode", 0))
    window, steps = tuple(attributes["kernel_shape"]), tuple(attributes.get("strides", (1, 1)))
    return F.max_pool2d(values[0], window, steps, (top, left), gaps, ceil)


def _average_pool(values: Values, attributes: dict[str, Any]) -> Any:
    _only(attributes, "AveragePool", auto_pad=b"NOTSET", ceil_mode=0)
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    if (top, left) != (bottom, right):
        raise UnsupportedError("No rule for an AveragePool with other padding on opposite sides.")
    window, steps = tuple(attributes["kernel_shape"]), tuple(attributes.get("strides", (1, 1)))
    return average_pool(values[0], window, steps, (top, left), False, bool(attributes.get("count_include_pad", 0)))


def _reshape(values: Values, attributes: dict[str, Any]) -> Any:
    x, (first, *rest) = values[0], values[1].tolist()
    sizes = [x.shape[place] if size == 0 else size for place, size in enumerate(rest, 1)]
    if first not in (-1, 0, 1, x.shape[0]) or (first == -1 and -1 in sizes):
        raise UnsupportedError(f"No rule for a Reshape to {[first, *rest]}, which mixes images.")
    if first == -1 and x.shape[1:].numel() != torch.Size(sizes).numel():
        raise UnsupportedError(f"No rule for a Reshape to {[first, *rest]}, which mixes images.")
    return x.reshape(x.shape[0], *sizes)


def reshape_one(values: Values, attributes: dict[str, Any]) -> Any:
    """Of a file for one image, which may lie along any dimension."""
    x, sizes = values[0], values[1].tolist()
    return x.reshape([x.shape[place] if size == 0 else size for place, size in enumerate(sizes)])


def _gather(values: Values, attributes: dict[str, Any]) -> Any:
    x, indices = values
    place = (slice(None),) * (attributes.get("axis", 0) % len(x.shape))
    return x[(*place, indices.item() if indices.ndim == 0 else indices)]


def _squeeze(values: Values, attributes: dict[str, Any]) -> Any:
    x, axes = values
    return x.squeeze(tuple(axes.tolist()))


def _unsqueeze(values: Values, attributes: dict[str, Any]) -> Any:
    x, axes = values
    count = len(x.shape) + len(axes)
    for axis in sorted(axis % count for axis in axes.tolist()):
        x = x.unsqueeze(axis)
    return x


def _split(values: Values, attributes: dict[str, Any]) -> Any:
    x, *sizes = values
    axis = attributes.get("axis", 0)
    return tuple(x.split(sizes[0].tolist() if sizes else -(-x.shape[axis] // attributes["parts"]), axis))


def _slice(values: Values, attributes: dict[str, Any]) -> Any:
    x, starts, ends, *rest = values
    count = len(starts)
    axes = rest[0].tolist() if rest and rest[0] is not None else range(count)
    steps = rest[1].tolist() if len(rest) > 1 else [1] * count
    parts = [slice(None)] * len(x.shape)
    for axis, start, end, step in zip(axes, starts.tolist(), ends.tolist(), steps, strict=True):
        if step < 1:
            raise UnsupportedError("No rule for a Slice that goes backwards.")
        parts[axis] = slice(start, end, step)
    return x[tuple(parts)]


def _flatten(values: Values, attributes: dict[str, Any]) -> Any:
    _only(attributes, "Flatten", axis=1)
    return values[0].flatten(1)


def _concat(values: Values, attributes: dict[str, Any]) -> Any:
    count = max(value.shape[0] for value in values)  # known numbers are there for one image
    if attributes["axis"]:
        values = [value.expand(count, *value.shape[1:]) if isinstance(value, Tensor) else value for value in values]
    return torch.cat(values, attributes["axis"])


def _transpose(values: Values, attributes: dict[str, Any]) -> Any:
    return values[0].permute(*attributes["perm"])


def _global_average(values: Values, attributes: dict[str, Any]) -> Any:
    return values[0].mean((2, 3), True)


def _subtract(values: Values, attributes: dict[str, Any]) -> Any:
    return values[0] - values[1]


def _divide(values: Values, attributes: dict[str, Any]) -> Any:
    return values[0] / values[1]


OPERATIONS: dict[str, Callable[[Values, dict[str, Any]], Any]] = {
    "Add": lambda values, attributes: values[0] + values[1],
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Concat": _concat,
    "Conv": _conv,
    "Div": _divide,
    "Dropout": lambda values, attributes: values[0],
    "Erf": lambda values, attributes: torch.erf(values[0]),
    "Exp": lambda values, attributes: torch.exp(values[0]),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "GroupNormalization": _group_norm,
    "Identity": lambda values, attributes: values[0],
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda values, attributes: F.leaky_relu(values[0], attributes.get("alpha", 0.01)),
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "Mul": lambda values, attributes: values[0] * values[1],
    "Pow": _power,
    "ReduceMean": _mean,
    "Relu": lambda values, attributes: torch.relu(values[0]),
    "Reshape": _reshape,
    "Shape": lambda values, attributes: torch.tensor(values[0].shape),
    "Sigmoid": lambda values, attributes: torch.sigmoid(values[0]),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Sqrt": lambda values, attributes: torch.sqrt(values[0]),
    "Squeeze": _squeeze,
    "Sub": _subtract,
    "Tanh": lambda values, attributes: torch.tanh(values[0]),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""ONNX operation -> what it computes of its inputs and attributes."""


def _padded(x: Any, pads: Any) -> tuple[Any, tuple[int, int]]:
    """A convolution's input and the padding that is left to it, the same on opposite sides."""
    top, left, bottom, right = pads
    if (top, left) == (bottom, right):
        return x, (top, left)
    return F.pad(x, (left, right, top, bottom)), (0, 0)


def _only(attributes: dict[str, Any], operation: str, **usual: Any) -> None:
    for name, value in usual.items():
        if attributes.get(name, value) != value:
            raise UnsupportedError(f"No rule for the ONNX operation {operation} with {name}={attributes[name]!r}.")
