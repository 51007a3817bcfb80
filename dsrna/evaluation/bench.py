"""One network on one data set: measurements that go on where they were interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dsrna.distributed import group
from dsrna.errors import ConfigError, DataError
from dsrna.evaluation.clean_logits import clean_logits
from dsrna.evaluation.identity import batch_checksum, network_checksum
from dsrna.evaluation.outcome_file import OutcomeFile

Progress = Callable[[str, int, int, float], None]
"""(label, images done, images, accuracy so far), called after every batch, and for what was done before on resuming."""

BatchOutcome = Callable[[int, slice, Tensor, Tensor], Tensor]
"""(batch number, place in the data set, x, y) -> which images are correct (N,) bool."""

IDENTIFYING_IMAGES = 100
"""By so many of the first images a measurement's file knows its data set again."""


class EvaluationData(Protocol):
    """The images: what :class:`dsrna.data.images.ImageDataset` offers."""

    classes: int

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]: ...


class Bench:
    """Takes measurements of one network on one data set, each into a file of its own in one folder.

    Args:
        model: network (N, C, H, W) -> logits (N, K); moved to ``device``, its modes are left as they are.
        dataset: images in [0, 1] with classes 0..K-1.
        seed: the run's seed.
        batch_size: images at once.
        folder: where the outcome files go.
        device: where the network runs.
        progress: called after every batch.

    Raises:
        ConfigError: the batch size is not positive.
        DataError: there are no images.

    Attributes:
        first_images, first_labels: up to ``IDENTIFYING_IMAGES`` of them, on the CPU.
        image_values: how many values an image has.
    """

    def __init__(
        self,
        model: nn.Module,
        dataset: EvaluationData,
        seed: int,
        batch_size: int,
        folder: Path,
        device: torch.device | str,
        progress: Progress | None,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"Expected `batch_size` >= 1, got {batch_size}. (conf: evaluate.batch_size)")
        if len(dataset) == 0:
            raise DataError("Expected images to evaluate on, got none. (conf: evaluate.images)")
        self.device = torch.device(device)
        self.model = model.to(self.device)
        self.dataset = dataset
        self.seed = seed
        self.batch_size = batch_size
        self.folder = folder
        self.progress = progress
        first_x, first_y = dataset.batch(torch.arange(min(IDENTIFYING_IMAGES, len(dataset))))
        self.first_images, self.first_labels = first_x, first_y
        self.image_values = first_x[0].numel()
        self.identity = {
            "network": network_checksum(model),
            "data": batch_checksum(first_x, first_y),
            "images": len(dataset),
            "classes": dataset.classes,
            "seed": seed,
            "batch_size": batch_size,
        }

    def measure(
        self, name: str, label: str, settings: dict[str, Any], outcome: BatchOutcome, images: int
    ) -> OutcomeFile:
        """The outcomes on the first ``images`` images, in ``folder/name.json``."""
        file = OutcomeFile(self.folder / f"{name}.json", self.identity | settings, images)
        self._show(label, file)

        def one(place: slice) -> tuple[Tensor, float]:
            began = time.perf_counter()
            x, y = self.dataset.batch(torch.arange(place.start, place.stop))
            x, y = x.to(self.device), y.to(self.device)
            return outcome(place.start // self.batch_size, place, x, y), time.perf_counter() - began

        starts = range(file.done, images, self.batch_size)
        places = [slice(start, min(start + self.batch_size, images)) for start in starts]
        for found, seconds in group.done_in_turns(places, one):
            file.append(found, seconds)
            self._show(label, file)
        return file

    def classify(self, number: int, place: slice, x: Tensor, y: Tensor) -> Tensor:
        """Which images the network gets right as they are; a :data:`BatchOutcome`."""
        logits = clean_logits(self.model, x, y, self.dataset.classes, place)
        return (logits.argmax(dim=1) == y).cpu()

    def _show(self, label: str, file: OutcomeFile) -> None:
        if self.progress is not None and file.done:
            self.progress(label, file.done, file.images, file.outcomes.float().mean().item())


def accuracy_of(outcomes: Tensor) -> dict[str, Any]:
    """Accuracy in [0, 1], its interval ([low, high], Wilson's 95 % for the sampling of images), and of how many.

    Args:
        outcomes: (M,) bool, which images are correct.
    """
    correct, images = int(outcomes.sum()), len(outcomes)
    from scipy.stats import binomtest

    interval = binomtest(correct, images).proportion_ci(0.95, method="wilson")
    return {
        "accuracy": correct / images,
        "interval": [float(interval.low), float(interval.high)],
        "images": images,
    }
