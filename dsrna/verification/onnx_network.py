"""Networks from ONNX files, of the operations that image classifiers are made of."""

from __future__ import annotations

from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dsrna.errors import DataError, MissingPartError, UnsupportedError
from dsrna.verification.onnx_operations import OPERATIONS, Values, reshape_one


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
                    operation = reshape_one
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
