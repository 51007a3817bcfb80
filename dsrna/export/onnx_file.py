"""Networks as ONNX files that compute what the network computes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from importlib import util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dsrna.errors import MissingPartError, UnsupportedError
from dsrna.files import write_bytes
from dsrna.nn.modes import evaluation_mode

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPSET, FORMAT = 18, 8
"""Of the operations and of the file (ONNX 1.13): what verifiers and their readers know."""
TOLERANCE = 1e-4
"""Largest difference of logits between onnxruntime and torch, relative to the largest logit."""
ROUNDING = 100
"""The same, relative to the rounding error of torch's own logits, which counts where large values cancel."""


def require_onnx() -> None:
    """Raises MissingPartError where a package is missing; the message names the command that installs all."""
    missing = [name for name in PACKAGES if util.find_spec(name) is None]
    if missing:
        raise MissingPartError(
            f"The export to ONNX needs {', '.join(missing)}, not installed here: pip install 'dsrna[export]'"
        )


@torch.no_grad()
def write_onnx(path: Path, network: nn.Module, x: Tensor) -> None:
    """Writes the network, as it is in evaluation mode, for one image (1, C, H, W) at a time.

    The written model is run by onnxruntime on each of the images given, and must give the network's logits.

    Args:
        path: the file.
        network: on the CPU, maps (N, C, H, W) to logits (N, K).
        x: (N, C, H, W) images in [0, 1] to check on, at least one.

    Raises:
        MissingPartError: onnx, onnxscript or onnxruntime is missing.
        UnsupportedError: onnxruntime gives other logits than the network.
    """
    require_onnx()
    with evaluation_mode(network), _quiet():
        expected = network(x)
        rounding = (deepcopy(network).double()(x.double()) - expected).abs().max().item()
        program: Any = torch.onnx.export(
            network,
            (x[:1],),
            dynamo=True,
            opset_version=OPSET,
            input_names=["x"],
            output_names=["logits"],
            verbose=False,
        )
    payload = _plain_file(program.model_proto)
    difference = (_run(payload, x) - expected).abs().max().item()
    if not difference <= TOLERANCE * expected.abs().max().item() + ROUNDING * rounding:
        raise UnsupportedError(
            f"Expected the network's logits from its ONNX file, got a difference of {difference:.3g} in onnxruntime. "
            "No file was written; other versions of torch, onnxscript or onnxruntime may do better."
        )
    write_bytes(path, payload)


def _plain_file(model: Any) -> bytes:
    """An exporter's model as bytes, of the format's version, flattening by the operation that all readers know.

    Without the exporter's notes, which hold the paths of its source files on this machine.
    """
    model.ir_version = FORMAT
    graph = model.graph
    for one in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del one.metadata_props[:]
    shapes = {one.name: tuple(one.dims) for one in graph.initializer}
    for node in graph.node:
        if node.op_type == "Reshape" and shapes.get(node.input[1]) == (2,):  # to (1, D), as the batch is 1
            node.op_type = "Flatten"
            del node.input[1:], node.attribute[:]
    used = {name for node in graph.node for name in node.input}
    for one in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(one)
    return bytes(model.SerializeToString())


def onnx_logits(path: Path, x: Tensor) -> Tensor:
    """Logits (N, K) of the images (N, C, H, W) as onnxruntime computes them from a file of :func:`write_onnx`."""
    require_onnx()
    return _run(path.read_bytes(), x)


def _run(model: bytes, x: Tensor) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rows = [session.run(None, {"x": image[None].numpy()})[0] for image in x]
    return torch.cat([torch.from_numpy(row) for row in rows])


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's packages report each pass over the graph as a warning or a line of log."""
    logger = logging.getLogger("onnxscript")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
