"""Networks from ONNX files, of the operations that image classifiers are made of."""

from __future__ import annotations

from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.errors import DataError, MissingPartError, UnsupportedError
from dsrna.functional.pooling import average_pool

Values = list[Any]
"""A node's inputs: tensors, or what stands for them; None for one that is left out."""


class OnnxNetwork(nn.Module):
    """A network (N, ...) -> (N, K) that computes what an ONNX file of one input and one output says.

    Files are made for one image; batches work too, as no operation here mixes images. Where a file puts the image's
    dimension elsewhere, as for attention, a batch goes through it image by image.

    Args:
        source: the file, or what is in it, as :func:`onnx_bytes` gives it.
        name: of the file, for messages, where its content is given.

    Raises:
        MissingPartError: the package ``onnx`` is missing.
        DataError: it's no ONNX file, or hasn't one input and one output.
        UnsupportedError: it has an operation, or an attribute of one, that isn't known; the message names it.
    """

    def __init__(self, source: Path | bytes, name: str = "") -> None:
        super().__init__()
        path = source if isinstance(source, Path) else name
        loaded = _loaded(source, path)
        graph = loaded.graph
        import onnx
        from onnx import numpy_helper

        opset = max(one.version for one in loaded.opset_import if one.domain in ("", "ai.onnx"))
        self._constants: dict[str, int] = {}
        for one in graph.initializer:
            self._keep(one.name, torch.from_numpy(numpy_helper.to_array(one).copy()))
        inputs = [one for one in graph.input if one.name not in self._constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise DataError(f"Expected one input and one output in {path}, got {len(inputs)} and {len(graph.output)}.")
        self._input, self._output = inputs[0].name, graph.output[0].name
        self.image_shape = tuple(size.dim_value for size in inputs[0].type.tensor_type.shape.dim)[1:]
        self._nodes: list[tuple[Callable[[Values, dict[str, Any]], Any], dict[str, Any], list[str], list[str]]] = []
        permuted = [one for one in graph.node if one.op_type == "Transpose"]
        self._one_by_one = any(one.attribute and one.attribute[0].ints[0] != 0 for one in permuted)
        for node in graph.node:
            attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
            if node.op_type == "Constant":
                self._keep(node.output[0], torch.from_numpy(numpy_helper.to_array(attributes["value"]).copy()))
            elif node.op_type not in OPERATIONS or (len(node.output) != 1 and node.op_type != "Split"):
                raise UnsupportedError(
                    f"No rule for the ONNX operation {node.op_type}, of {node.name or node.output[0]} in {path}. "
                    f"Known are: {', '.join(sorted(OPERATIONS))}, Constant."
                )
            elif node.op_type == "Softmax" and opset < 13:  # of several dimensions at once
                raise UnsupportedError(
                    f"No rule for the ONNX operation Softmax of opset {opset} in {path}; use 13 or later."
                )
            else:
                operation = OPERATIONS[node.op_type]
                if node.op_type == "Reshape" and self._one_by_one:
                    operation = _reshape_one
                if node.op_type == "Split":
                    attributes["parts"] = len(node.output)
                self._nodes.append((operation, attributes, list(node.input), list(node.output)))

    def forward(self, x: Tensor) -> Any:
        """Maps (N, ...) to (N, K)."""
        if self._one_by_one and len(x) > 1:
            if not isinstance(x, Tensor):
                raise UnsupportedError(
                    "No bounds for several images at once of an ONNX file that moves their dimension"
                )
            return torch.cat([self(image) for image in x.split(1)])
        values: dict[str, Any] = {name: getattr(self, f"constant_{index}") for name, index in self._constants.items()}
        values[self._input] = x
        for operation, attributes, inputs, outputs in self._nodes:
            result = operation([values[name] if name else None for name in inputs], attributes)
            values.update(zip(outputs, result if isinstance(result, tuple) else (result,), strict=True))
        return values[self._output]

    def _keep(self, name: str, value: Tensor) -> None:
        self._constants[name] = len(self._constants)
        kept = f"constant_{self._constants[name]}"
        if value.is_floating_point():
            self.register_parameter(kept, nn.Parameter(value, requires_grad=False))
        else:
            self.register_buffer(kept, value)


def onnx_bytes(path: Path) -> bytes:
    """The content of an ONNX file, with the weights that it keeps in files beside it.

    Raises:
        MissingPartError: the package ``onnx`` is missing.
        DataError: it's no ONNX file.
    """
    content: bytes = _loaded(path, path).SerializeToString()
    return content


def _loaded(source: Path | bytes, name: Path | str) -> Any:
    if util.find_spec("onnx") is None:
        raise MissingPartError("Reading ONNX files needs onnx, not installed here: pip install 'dsrna[export]'")
    import onnx

    try:
        return onnx.load(source) if isinstance(source, Path) else onnx.load_from_string(source)
    except Exception as error:  # the parser's own errors are of no common class
        raise DataError(f"Expected an ONNX file, got {name}: {error}") from error


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


def _reshape_one(values: Values, attributes: dict[str, Any]) -> Any:
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
