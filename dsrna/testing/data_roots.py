"""Data roots with made-up images, for tests of whatever reads data sets: noise in a few shades, one shade a class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

ARRAY_SETS = {
    "cifar10": (10, (32, 32, 3)),
    "cifar100": (100, (32, 32, 3)),
    "mnist": (10, (28, 28, 1)),
    "fashion_mnist": (10, (28, 28, 1)),
}
"""Name -> number of classes, (H, W, C): as the true data sets."""


def write_arrays(
    file: Path, classes: int, image_shape: tuple[int, int, int], train_per_class: int = 60, test_per_class: int = 2
) -> Path:
    """One ``.npz`` with x_train, y_train, x_test, y_test; returns ``file``."""
    draw = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part, per_class in (("train", train_per_class), ("test", test_per_class)):
        labels = np.arange(classes * per_class) % classes
        shades = (200 * labels // classes)[:, None, None, None]
        arrays[f"x_{part}"] = (shades + draw.integers(0, 50, (len(labels), *image_shape))).astype(np.uint8)
        arrays[f"y_{part}"] = labels
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **arrays)
    return file


def write_array_set(root: Path, name: str) -> Path:
    """``root/NAME.npz`` with images of the true shape and classes; returns ``root``."""
    write_arrays(root / f"{name}.npz", *ARRAY_SETS[name])
    return root


def write_folder(
    root: Path, classes: int = 2, size: int = 20, train_per_class: int = 12, test_per_class: int = 3
) -> Path:
    """``root/train/CLASS/*.png`` and ``root/val/CLASS/*.png``; returns ``root``."""
    from PIL import Image

    draw = np.random.default_rng(0)
    for part, per_class in (("train", train_per_class), ("val", test_per_class)):
        for label in range(classes):
            folder = root / part / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(per_class):
                pixels = 200 * label // classes + draw.integers(0, 50, (size, size, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return root
