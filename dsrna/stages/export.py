"""A trained network of a run, with a property an image, for other verifiers."""

from __future__ import annotations

from pathlib import Path

from dsrna.bounds.lowering.lower import lower
from dsrna.config.compose import compose, settings_from
from dsrna.config.parts import nearest
from dsrna.config.validate import threat_of, validate
from dsrna.data.loader import BatchLoader
from dsrna.errors import CheckpointError, ConfigError
from dsrna.export.onnx_file import require_onnx, write_onnx
from dsrna.export.robustness_property import RobustnessProperty
from dsrna.export.vnnlib import Version, to_vnnlib
from dsrna.files import write_text, writing_to
from dsrna.runs.replay import replay
from dsrna.runs.sources import load_splits
from dsrna.stages.inputs import read_inputs
from dsrna.training.trained_network import load_network

MODEL = "network.onnx"


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
    for name, value in (("images", images), ("timeout", timeout)):
        if not value > 0:
            raise ConfigError(f"Expected --{name} above 0, got {value:g}.")
    settings = settings_from(compose("evaluate", replay("evaluate", overrides)))
    validate(settings)
    splits = load_splits(settings)
    checkpoint = _chosen(read_inputs("evaluate", settings, splits).networks, stage)
    network, description, about = load_network(checkpoint, settings.model)
    test, threat = splits.test, threat_of(settings)
    x, y = next(iter(BatchLoader(test, min(images, len(test)), seed=0, purpose="export", shuffle=False)))
    claims = [
        RobustnessProperty.around(image, label, description.classes, threat)
        for image, label in zip(x, y.tolist(), strict=True)
    ]
    is_folder = Path(str(settings.start_from)).is_dir()
    if out is None:
        out = checkpoint.parents[1] / "export" / checkpoint.parent.name if is_folder else checkpoint.parent / "export"
    with writing_to(out):
        write_onnx(out / MODEL, lower(network, x, without_concat=True) if lowered else network, x)
        rows = []
        for index, claim in enumerate(claims):
            name = f"image_{index:05d}.vnnlib"
            where = f"test image {index} of {splits.origin}, class {splits.class_names[claim.label]}, {threat.label}"
            shape = " x ".join(map(str, description.shape))
            comment = f"{where}\n{about['title']}; X in row-major order of {shape}, in [0, 1]\nunsat: robust; sat: not"
            write_text(out / name, to_vnnlib(claim, comment, version, description.shape))
            rows.append(f"{MODEL},{name},{timeout:g}\n")
        write_text(out / "instances.csv", "".join(rows))
    right = int((network(x).argmax(dim=1) == y).sum())
    return out, f"{about['title']}, {len(y)} images of {splits.origin}, {right} of them classified correctly"


def _chosen(found: dict[str, Path], stage: str | None) -> Path:
    if stage is None:
        return next(iter(found.values()))
    if stage not in found:
        raise CheckpointError(
            f"Expected a network of the stage `{stage}`, there is none.{nearest(stage, found)} "
            f"Choose --network from: {', '.join(found)}."
        )
    return found[stage]
