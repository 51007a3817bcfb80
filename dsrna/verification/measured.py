"""What a verification and a certification by smoothing begin with: the images, and what they are known by on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import dsrna
from dsrna.errors import DataError
from dsrna.evaluation.bench import IDENTIFYING_IMAGES
from dsrna.evaluation.evaluator import EvaluationData
from dsrna.evaluation.identity import batch_checksum, network_checksum
from dsrna.verification.tensor_images import TensorImages

Progress = Callable[[int, int, dict[str, float | str]], None]
"""(images done, images, numbers to show), called after every batch, and for what was done before on resuming."""


def images_of(
    model: nn.Module, data: EvaluationData | tuple[Tensor, Tensor], most: int | None
) -> tuple[EvaluationData, int]:
    """The images as a data set, and how many of the first are to be taken.

    Raises:
        DataError: there are none, or they don't fit the network.
    """
    dataset = TensorImages.of(model, *data) if isinstance(data, tuple) else data
    if len(dataset) == 0:
        raise DataError("Expected images to verify, got none.")
    return dataset, len(dataset) if most is None else min(most, len(dataset))


def identity_of(model: nn.Module, dataset: EvaluationData, images: int, seed: int) -> dict[str, Any]:
    """What tells these measurements from those of another network, other images or another seed."""
    x, y = dataset.batch(torch.arange(min(IDENTIFYING_IMAGES, images)))
    return {
        "network": network_checksum(model),
        "data": batch_checksum(x, y),
        "images": images,
        "classes": dataset.classes,
        "seed": seed,
        "version": dsrna.__version__,
    }
