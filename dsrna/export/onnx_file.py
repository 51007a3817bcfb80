"""Networks as ONNX files that compute what the network computes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dsrna.errors import ConfigError, MissingPartError, UnsupportedError
from dsrna.export.agreement import checked_difference
from dsrna.files import write_bytes
from dsrna.nn.modes import evaluation_mode

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPSET = 18
"""Version of the operations, of ONNX 1.13: what verifiers and their readers know, and the least that torch writes."""


def require_onnx(opset: int = OPSET) -> None:
    """Raises MissingPartError where a package is missing; the message names the command that installs all.

    ConfigError where it doesn't know this version of the operations.
    """
    missing = [name for name in PACKAGES if util.find_spec(name) is None]
    if missing:
        raise MissingPartError(
            f"The export to ONNX needs {', '.join(missing)}, not installed here: pip install 'dsrna[export]'"
        )
    from onnx import defs

    if not OPSET <= opset <= defs.onnx_opset_version():
        raise ConfigError(f"Expected an opset from {OPSET} to {defs.onnx_opset_version()}, got {opset}.")


@torch.no_grad()
def write_onnx(path: Path, network: nn.Module, x: Tensor, opset: int = OPSET, any_batch: bool = False) -> float:
    """Writes the network, as it is in evaluation mode, for one image (1, C, H, W) at a time, or for any number.

    The written model is run by onnxruntime on each of the images given, and must give the network's logits; one for
    any number of them also on all at once.

    Args:
        path: the file.
        network: on the CPU, maps (N, C, H, W) to logits (N, K).
        x: (N, C, H, W) images in [0, 1] to check on, at least one.
        opset: version of the operations.
        any_batch: whether a call may have any number of images.

    Returns:
        The largest difference of a logit.

    Raises:
        MissingPartError: onnx, onnxscript or onnxruntime is missing.
        ConfigError: onnx doesn't know the opset.
        UnsupportedError: onnxruntime gives other logits than the network, or torch can't write that opset.
    """
    require_onnx(opset)
    with evaluation_mode(network), _quiet():
        program: Any = torch.onnx.export(
            network,
            (torch.cat([x[:1], x[:1]]) if any_batch else x[:1],),  # a size of 1 would be taken for a constant
            dynamo=True,
            opset_version=opset,
            dynamic_shapes=({0: torch.export.Dim("batch")},) if any_batch else None,
            input_names=["x"],
            output_names=["logits"],
            verbose=False,
        )
        payload = _plain_file(program.model_proto, opset)
        found = [_run(payload, x), *([session_of(payload)(x)] if any_batch else [])]
        difference = checked_difference(network, x, found, "its ONNX file in onnxruntime")
    write_bytes(path, payload)
    return difference


def _plain_file(model: Any, opset: int) -> bytes:
    """An exporter's model as bytes, of the opset's format, flattening by the operation that all readers know.

    Without the exporter's notes, which hold the paths of its source files on this machine.
    """
    from onnx import helper

    written = {one.domain: one.version for one in model.opset_import}
    if written != {"": opset}:
        raise UnsupportedError(f"Expected operations of opset {opset}, torch wrote {written}: choose another --opset.")
    model.ir_version = helper.find_min_ir_version_for(model.opset_import)
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
    session = session_of(model)
    return torch.cat([session(image[None]) for image in x])


def session_of(model: bytes) -> Callable[[Tensor], Tensor]:
    """A file of :func:`write_onnx` as onnxruntime runs it on the CPU: images (N, C, H, W) -> logits (N, K).

    It takes as many threads as torch does here.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


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
