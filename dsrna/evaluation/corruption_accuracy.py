"""Accuracy on images under common corruptions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

import dsrna
from dsrna.corruptions import EXTRA, corrupt
from dsrna.errors import DataError
from dsrna.evaluation.bench import BatchOutcome, Bench, EvaluationData, Progress, accuracy_of
from dsrna.evaluation.corruption_error import mean_corruption_error
from dsrna.evaluation.corruption_sweep import CorruptionSweep
from dsrna.evaluation.published_images import CorruptedImages, open_published
from dsrna.functional.seeding import generator

Record = dict[str, Any]


def corruption_accuracies(
    model: nn.Module,
    dataset: EvaluationData,
    sweep: CorruptionSweep,
    *,
    seed: int,
    batch_size: int,
    folder: Path,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Accuracy under every corruption at every severity, and its means.

    After every batch the outcomes so far are in ``folder`` (``corruption_<name>_<severity>.json``), and the same call
    goes on from there. Random numbers of a batch come from (seed, corruption, severity, batch number).

    Cost: one forward pass over the data for each corruption and severity.

    Args:
        model: network (N, C, H, W) -> logits (N, K); moved to ``device``, its modes are left as they are.
        dataset: clean test images in [0, 1] with classes 0..K-1; of published images only K is taken from here.
        sweep: what to measure.
        seed: the run's seed.
        batch_size: images at once.
        folder: where the outcome files go.
        device: where the network runs, and where images are corrupted.
        progress: called after every batch.

    Returns:
        ``{"source": "generated" or "published", "mean": mean accuracy, "by_severity": {severity: mean}, "mce": see
        :func:`dsrna.evaluation.corruption_error.mean_corruption_error`, "records": [record of each corruption and
        severity]}``. Means are over the corruptions of the benchmark, without the extra
        ones, and None where there is none of them; severities there are text, as JSON has them. A record is plain:
        corruption, severity, accuracy in [0, 1], interval, images, seed, version, seconds.

    Raises:
        ConfigError: errors are to be divided by AlexNet's, and the images aren't ImageNet's.
        DataError: there are no images, they can't be corrupted, don't fit the network, or the published are missing.
        CheckpointError: ``folder`` holds results of another evaluation.
        NonFiniteError: the network's logits are not finite.
    """

    def bench(images: EvaluationData) -> Bench:
        return Bench(model, images, seed, batch_size, folder, device, progress)

    points = [(name, severity) for name in sweep.names for severity in sweep.severities]
    if sweep.published is None:
        clean = bench(dataset)
        records = [_on_corrupted(clean, name, severity, sweep.images) for name, severity in points]
    else:
        size = dataset.batch(torch.tensor([0]))[0].shape[-1]
        files = _open(sweep.published, sweep.names, dataset.classes, size)
        there = [_PublishedImages(files, name, severity, dataset.classes) for name, severity in points]
        records = [_on_published(bench(images), images, sweep.images) for images in there]
    normaliser = sweep.normalised_by(dataset.classes)
    counted = [record for record in records if record["corruption"] not in EXTRA]
    return {
        "source": "generated" if sweep.published is None else "published",
        "mean": _mean(counted),
        "by_severity": {
            str(severity): _mean(record for record in counted if record["severity"] == severity)
            for severity in sweep.severities
        },
        "mce": mean_corruption_error(records, normaliser),
        "records": records,
    }


def _mean(records: Iterable[Record]) -> float | None:
    accuracies = [record["accuracy"] for record in records]
    return fmean(accuracies) if accuracies else None


@dataclass
class _PublishedImages:
    """The published images of one corruption and severity, as a data set."""

    files: CorruptedImages
    name: str
    severity: int
    classes: int

    def __len__(self) -> int:
        return len(self.files)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        return self.files.batch(self.name, self.severity, indices)


def _on_corrupted(bench: Bench, name: str, severity: int, limit: int | None) -> Record:
    def outcome(number: int, place: slice, x: Tensor, y: Tensor) -> Tensor:
        drawn = generator(bench.seed, "corruption", name, severity, number)
        return bench.classify(number, place, corrupt(x, name, severity, drawn), y)

    return _record(bench, name, severity, "generated", outcome, limit)


def _on_published(bench: Bench, images: _PublishedImages, limit: int | None) -> Record:
    return _record(bench, images.name, images.severity, "published", bench.classify, limit)


def _record(bench: Bench, name: str, severity: int, source: str, outcome: BatchOutcome, limit: int | None) -> Record:
    settings = {"corruption": name, "severity": severity, "version": dsrna.__version__}
    images = len(bench.dataset) if limit is None else min(limit, len(bench.dataset))
    label = f"{name.replace('_', ' ')} {severity}"
    file = bench.measure(f"corruption_{name}_{severity}", label, settings | {"source": source}, outcome, images)
    return {**settings, **accuracy_of(file.outcomes), "seed": bench.seed, "seconds": file.seconds}


def _open(folder: str, names: str | Sequence[str], classes: int, size: int) -> CorruptedImages:
    files = open_published(Path(folder).expanduser(), size)
    files.check_there(tuple(names))
    if files.classes > classes:
        raise DataError(
            f"Expected labels 0..{classes - 1} in {folder}, got {files.classes - 1}: these are images of another data "
            "set. (conf: evaluate.corruptions.published)"
        )
    return files
