"""A trained network of a run for other programs: for verifiers with a property an image, or to be deployed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from dsrna.bounds.lowering.lower import lower
from dsrna.config.compose import compose, settings_from
from dsrna.config.parts import nearest
from dsrna.config.validate import threat_of, validate
from dsrna.costs.latency import latency, milliseconds
from dsrna.data.loader import BatchLoader
from dsrna.data.splits import Splits
from dsrna.errors import CheckpointError, ConfigError
from dsrna.export.onnx_file import OPSET, require_onnx, session_of, write_onnx
from dsrna.export.robustness_property import RobustnessProperty
from dsrna.export.torch_program import write_program
from dsrna.export.vnnlib import Version, to_vnnlib
from dsrna.files import write_text, writing_to
from dsrna.runs.replay import replay
from dsrna.runs.sources import load_splits
from dsrna.stages.inputs import read_inputs
from dsrna.training.trained_network import TrainedNetwork, load_network
from dsrna.types import Threat

MODEL, PROGRAM = "network.onnx", "network.pt2"
LATENCY_BATCHES = (1, 32)


@dataclass(frozen=True)
class Exported:
    """One way to run a network, measured on the CPU.

    Attributes:
        name: ``torch``, or the file.
        difference: largest difference of a logit from the network's.
        latencies: milliseconds of a call with each number of images of :data:`LATENCY_BATCHES`.
    """

    name: str
    difference: float
    latencies: list[float]


@dataclass(frozen=True)
class _Source:
    """What is exported: the network, images (N, C, H, W) and classes (N,) to check it on, and where files go."""

    network: TrainedNetwork
    title: str
    x: Tensor
    y: Tensor
    splits: Splits
    threat: Threat
    out: Path


def export_for_deployment(
    overrides: list[str], stage: str | None, images: int, out: Path | None, opset: int = OPSET
) -> tuple[Path, str, list[Exported]]:
    """Writes ``network.onnx`` and ``network.pt2``, of any number of images, which give the network's logits.

    Args:
        overrides, stage, images, out: see :func:`export`; on so many test images logits are compared.
        opset: version of ONNX's operations.

    Returns:
        The folder, a sentence about what is in it, and what was measured of torch, onnxruntime and torch.export.

    Raises:
        DsrnaError: see :func:`export`.
    """
    require_onnx(opset)
    source = _source(overrides, stage, images, out)
    network, x, out = source.network, source.x, source.out
    with writing_to(out):
        of_onnx = write_onnx(out / MODEL, network, x, opset, any_batch=True)
        of_program, module = write_program(out / PROGRAM, network, x)
    session, device = session_of((out / MODEL).read_bytes()), torch.device("cpu")
    shape = (x.shape[1], x.shape[2], x.shape[3])
    batches = [torch.zeros(size, *shape) for size in LATENCY_BATCHES]
    with torch.no_grad():
        measured = [
            Exported("torch", 0.0, [latency(network, shape, size, device) for size in LATENCY_BATCHES]),
            Exported(MODEL, of_onnx, [milliseconds(partial(session, x), device) for x in batches]),
            Exported(PROGRAM, of_program, [milliseconds(partial(module, x), device) for x in batches]),
        ]
    return out, source.title, measured


def export(
    overrides: list[str],
    stage: str | None,
    images: int,
    timeout: float,
    out: Path | None,
    lowered: bool,
    version: Version = "1.0",
) -> tuple[Path, str]:
    """Writes ``network.onnx``, ``image_00000.vnnlib``, … and VNN-COMP's ``instances.csv``.

    Args:
        overrides: as for ``dsrna.evaluate``: ``from`` names a run folder or a checkpoint; ``threat.eps``, ``data`` ….
        stage: which network of a run folder; None for the first there is.
        images: how many, the first ones of the test split.
        timeout: seconds for an image, written into ``instances.csv``.
        out: the folder; None for ``export/STAGE`` in the run folder, or ``export`` beside the checkpoint.
        lowered: write an equal network of dense convolutions, linear layers, ReLU and sums alone.
        version: of VNN-LIB.

    Returns:
        The folder, and a sentence about what is in it.

    Raises:
        ConfigError, CheckpointError, DataError: as ``dsrna.evaluate`` would.
        MissingPartError: a package for ONNX is missing.
        UnsupportedError: the threat isn't l_inf, or the ONNX file doesn't compute what the network does.
    """
    require_onnx()
    if not timeout > 0:
        raise ConfigError(f"Expected --timeout above 0, got {timeout:g}.")
    source = _source(overrides, stage, images, out)
    network, x, y, splits, threat, out = (
        *(source.network, source.x, source.y, source.splits, source.threat, source.out),
    )
    shape = tuple(x.shape[1:])
    claims = [
        RobustnessProperty.around(image, label, splits.test.classes, threat)
        for image, label in zip(x, y.tolist(), strict=True)
    ]
    with writing_to(out):
        write_onnx(out / MODEL, lower(network, x, without_concat=True) if lowered else network, x)
        rows = []
        for index, claim in enumerate(claims):
            name = f"image_{index:05d}.vnnlib"
            where = f"test image {index} of {splits.origin}, class {splits.class_names[claim.label]}, {threat.label}"
            size = " x ".join(map(str, shape))
            comment = f"{where}\n{source.title}; X in row-major order of {size}, in [0, 1]\nunsat: robust; sat: not"
            write_text(out / name, to_vnnlib(claim, comment, version, shape))
            rows.append(f"{MODEL},{name},{timeout:g}\n")
        write_text(out / "instances.csv", "".join(rows))
    right = int((network(x).argmax(dim=1) == y).sum())
    return out, f"{source.title}, {len(y)} images of {splits.origin}, {right} of them classified correctly"


def _source(overrides: list[str], stage: str | None, images: int, out: Path | None) -> _Source:
    if not images > 0:
        raise ConfigError(f"Expected --images above 0, got {images}.")
    settings = settings_from(compose("evaluate", replay("evaluate", overrides)))
    validate(settings)
    splits = load_splits(settings)
    inputs = read_inputs("evaluate", settings, splits)
    if inputs.model is not None:
        network, title, beside = inputs.model.network, inputs.model.title, Path()
    else:
        checkpoint = _chosen(inputs.networks, stage)
        network, _, about = load_network(checkpoint, settings.model)
        title, beside = about["title"], checkpoint.parent
    if out is None and Path(str(settings.start_from)).is_dir():
        out = beside.parent / "export" / beside.name
    test = splits.test
    x, y = next(iter(BatchLoader(test, min(images, len(test)), seed=0, purpose="export", shuffle=False)))
    return _Source(network, title, x, y, splits, threat_of(settings), beside / "export" if out is None else out)


def _chosen(found: dict[str, Path], stage: str | None) -> Path:
    if stage is None:
        return next(iter(found.values()))
    if stage not in found:
        raise CheckpointError(
            f"Expected a network of the stage `{stage}`, there is none.{nearest(stage, found)} "
            f"Choose --network from: {', '.join(found)}."
        )
    return found[stage]
