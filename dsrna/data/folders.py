"""Data sets in folders of image files: one folder a class (ImageFolder layout)."""

from __future__ import annotations

from pathlib import Path

import torch

from dsrna.data.images import FolderImages
from dsrna.data.source import Source, root_folder
from dsrna.errors import ConfigError, DataError

_IMAGENET_STATISTICS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load_folder(root: str | None, image_size: int, name: str = "folder") -> Source:
    """A user's own images: ``root/train/CLASS/*`` and ``root/test/CLASS/*`` (or ``root/val/CLASS/*``).

    Classes are numbered in the order of their folders' names. Images become RGB; the shorter side is resized to
    ``image_size`` and the centre square cut out. Hidden files, and files without an image's ending, are skipped.

    Args:
        root: the folder that holds ``train`` and ``test``; None: ``$DSRNA_DATA``, else ``./data``.
        image_size: side of the square, in pixels.
        name: the data set's name in tables.

    Raises:
        ConfigError: ``image_size`` is not positive.
        DataError: a folder is missing or empty, or training and test classes differ.
    """
    return _load(root_folder(root), name, image_size, resize=image_size)


def load_imagenet(root: str | None = None, image_size: int = 224) -> Source:
    """ImageNet-1k from ``root/imagenet/train/*`` and ``root/imagenet/val/*``; its licence rules out a download.

    The 50,000 validation images are the test part. The shorter side is resized to ``image_size`` * 256 / 224 before the
    centre crop, for training images too (no random resized crop). Mean and deviation are the published constants.

    Args:
        root: the folder that holds ``imagenet``; None: ``$DSRNA_DATA``, else ``./data``.
        image_size: side of the square, in pixels.

    Raises:
        ConfigError: ``image_size`` is not positive.
        DataError: a folder is missing or empty, or training and test classes differ.

    Reference: O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 2015.
    """
    return _load(root_folder(root) / "imagenet", "imagenet", image_size, round(image_size * 256 / 224), published=True)


def _load(root: Path, name: str, image_size: int, resize: int, published: bool = False) -> Source:
    if image_size < 1:
        raise ConfigError(f"Expected `image_size` >= 1 pixel, got {image_size}. (conf: data.image_size)")
    train = root / "train"
    test = next((root / part for part in ("test", "val") if (root / part).is_dir()), None)
    if not train.is_dir() or test is None:
        raise DataError(
            f"Expected the folders train/CLASS/* and test/CLASS/* (or val/CLASS/*) of images in {root.absolute()}, "
            f"missing: {'train' if not train.is_dir() else 'test and val'}. "
            "Move the images there, or name another folder. (conf: data.root)"
        )
    classes = _subfolders(train)
    if len(classes) < 2:
        raise DataError(f"Expected at least 2 folders of images, one a class, got {len(classes)}. ({train.absolute()})")
    if different := set(classes) ^ set(_subfolders(test)):
        raise DataError(
            f"Expected the same classes in {train.absolute()} and {test.name}, "
            f"in one of them only: {', '.join(sorted(different)[:5])} ({len(different)} in all)."
        )
    parts = [_read(folder, classes, image_size, resize) for folder in (train, test)]
    origin = f"{name}, {len(parts[0]):,} + {len(parts[1]):,} image files"
    return Source(name, origin, parts[0], parts[1], _IMAGENET_STATISTICS if published else None)


def _subfolders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _read(folder: Path, classes: list[str], image_size: int, resize: int) -> FolderImages:
    from torchvision.datasets.folder import IMG_EXTENSIONS

    files: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(
            str(file)
            for file in (folder / name).rglob("*")
            if file.suffix.lower() in IMG_EXTENSIONS and not file.name.startswith(".")
        )
        if not found:
            raise DataError(
                f"Expected images ({', '.join(IMG_EXTENSIONS)}) in every class folder, found none in "
                f"{(folder / name).absolute()}. Add images, or move the folder elsewhere."
            )
        files += found
        labels += [label] * len(found)
    return FolderImages(files, torch.tensor(labels), len(classes), image_size, resize)
