"""Accuracy on images that are rotated and shifted at worst: another threat than a ball's."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import dsrna
from dsrna.attacks.frozen import frozen
from dsrna.attacks.pgd import check_count
from dsrna.errors import ConfigError, DataError
from dsrna.evaluation.bench import Bench, EvaluationData, Progress, accuracy_of


@dataclass(frozen=True, kw_only=True)
class SpatialGrid:
    """Every combination of some rotations and shifts of the whole image, both ways; what comes from outside is black.

    Args:
        rotation: the largest, in degrees, in [0, 180].
        translation: the largest shift along either side, as a share of that, in [0, 1).
        rotations: how many angles, evenly from -rotation to rotation, >= 1; one means none but the last, so odd
            numbers, which have the image itself among them, are usual.
        translations: how many shifts along each side, likewise.
        images: only so many of the first images; None: all.

    Raises:
        ConfigError: a value is out of range.

    Source: Engstrom, Tran, Tsipras, Schmidt, Madry, Exploring the Landscape of Spatial Robustness (ICML 2019), whose
    grid of 5 x 5 shifts by at most 3 of CIFAR-10's 32 pixels and 31 rotations by at most 30 degrees is the default.
    """

    rotation: float = 30.0
    translation: float = 3 / 32
    rotations: int = 31
    translations: int = 5
    images: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.rotation <= 180:
            raise ConfigError(f"Expected `rotation` in [0, 180] degrees, got {self.rotation}. (conf: rotation)")
        if not 0 <= self.translation < 1:
            raise ConfigError(f"Expected `translation` in [0, 1), got {self.translation}. (conf: translation)")
        check_count("rotations", self.rotations)
        check_count("translations", self.translations)
        if self.images is not None:
            check_count("images", self.images)

    def check_usable(self, shape: tuple[int, int, int]) -> None:
        """Raises DataError where images (C, H, W) aren't square: foolbox turns those only without distorting them."""
        if shape[1] != shape[2]:
            raise DataError(
                f"Expected square images to rotate, got {shape[1]}x{shape[2]} pixels: leave evaluate.spatial=null. "
                "(conf: evaluate.spatial)"
            )

    def search(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """For every image that the network gets right, one of the grid that it gets wrong, where there is one.

        Args:
            model: network (N, C, H, W) -> logits (N, K).
            x: (N, C, S, S) images in [0, 1].
            y: (N,) classes.

        Cost: at most ``rotations * translations ** 2`` forward passes.
        """
        import foolbox

        side = x.shape[-1]
        attack = foolbox.attacks.SpatialAttack(
            # Its shifts are in units of half an image, whose corners are (side - 1) / 2 pixels from the centre.
            max_translation=self.translation * side * side / (side - 1),
            max_rotation=self.rotation,
            num_translations=self.translations,
            num_rotations=self.rotations,
        )
        with frozen(model), torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.meshgrid")
            network = foolbox.PyTorchModel(model, bounds=(0, 1), device=x.device)
            standing = (model(x).argmax(dim=1) == y).nonzero()[:, 0]
            found = x.clone()
            if len(standing):
                moved = attack.run(network, x[standing], foolbox.criteria.Misclassification(y[standing]))
                found[standing] = moved.clamp(0, 1)
        return found


def spatial_accuracy(
    model: nn.Module,
    dataset: EvaluationData,
    grid: SpatialGrid,
    *,
    seed: int,
    batch_size: int,
    folder: Path,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Accuracy on the worst of a grid of rotations and shifts, image by image, searched by foolbox.

    It isn't part of the worst case in a ball: no l_p ball holds these images. After every batch the outcomes so far are
    in ``folder``/``spatial.json``, and the same call goes on from there. Nothing is drawn.

    Returns:
        Plain: rotation, translation, rotations, translations, version, accuracy in [0, 1], interval, images, seconds.

    Raises:
        DataError: images aren't square, or there are none.
        CheckpointError: ``folder`` holds results of another evaluation.
        NonFiniteError: the network's logits are not finite.
    """
    bench = Bench(model, dataset, seed, batch_size, folder, device, progress)
    channels, height, width = bench.first_images.shape[1:]
    grid.check_usable((channels, height, width))

    def outcome(number: int, place: slice, x: Tensor, y: Tensor) -> Tensor:
        return bench.classify(number, place, grid.search(bench.model, x, y), y)

    settings = {
        "rotation": grid.rotation,
        "translation": grid.translation,
        "rotations": grid.rotations,
        "translations": grid.translations,
        "version": dsrna.__version__,
    }
    images = len(dataset) if grid.images is None else min(grid.images, len(dataset))
    file = bench.measure("spatial", "rotated and shifted", settings, outcome, images)
    return {**settings, **accuracy_of(file.outcomes), "seconds": file.seconds}
