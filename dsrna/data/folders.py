"""Data sets in folders of image files: one folder a class (ImageFolder layout)."""

from __future__ import annotations

from pathlib import Path

import torch

from dsrna.data.images import FolderImages
from dsrna.data.source import Source, Statistics, root_folder
from dsrna.errors import ConfigError, DataError

_VALIDATION = ("val", "valid", "validation")
_LARGEST_SIDE = 4096
_IMAGENET_STATISTICS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load_folder(root: str | None = None, image_size: int = 32, name: str = "folder") -> Source:
    """A user's own images: ``root/train/CLASS/*``, ``root/test/CLASS/*`` and, where it is there, ``root/val/CLASS/*``.

    ``val`` (or ``valid``, ``validation``) beside both is the validation split. Without ``test`` it is the test part,
    and validation images are taken from ``train``. Classes are numbered in the order of their folders' names. How
    files are read, :func:`dsrna.data.image_files.read_image` says; the shorter side is resized to ``image_size``.
    Hidden files, and files without an image's ending, are skipped.

    Args:
        root: the folder that holds ``train`` and ``test``; None: ``$DSRNA_DATA``, else ``./data``.
        image_size: side of the square, in pixels.
        name: the data set's name in tables.

    Raises:
        ConfigError: ``image_size`` is not a whole number in 1..4096.
        DataError: a folder is missing or empty, or classes of the parts differ.
    """
    place = root_folder(root)
    _check_image_size(image_size)
    validation = [part for part in _VALIDATION if (place / part).is_dir()]
    if len(validation) > 1:
        raise DataError(f"Expected one folder for validation, got {' and '.join(validation)}. ({place.absolute()})")
    parts = ["train", *(["test"] if (place / "test").is_dir() else []), *validation]
    if not (place / "train").is_dir():
        raise _missing(place, "test/CLASS/* (or val/CLASS/*)", "train")
    if len(parts) < 2:
        raise _missing(place, "test/CLASS/* (or val/CLASS/*)", "test and val")
    return _load(place, name, parts, image_size, resize=image_size)


def load_imagenet(root: str | None = None, image_size: int = 224) -> Source:
    """ImageNet-1k from ``root/imagenet/train/*`` and ``root/imagenet/val/*``; its licence rules out a download.

    The 50,000 validation images are the test part. The shorter side is resized to ``image_size`` * 256 / 224 before the
    centre crop, for training images too (no random resized crop). Mean and deviation are the published constants.

    Args:
        root: the folder that holds ``imagenet``; None: ``$DSRNA_DATA``, else ``./data``.
        image_size: side of the square, in pixels.

    Raises:
        ConfigError: ``image_size`` is not a whole number in 1..4096.
        DataError: a folder is missing or empty, or training and test classes differ.

    Reference: O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 2015.
    """
    place = root_folder(root) / "imagenet"
    _check_image_size(image_size)
    if missing := [part for part in ("train", "val") if not (place / part).is_dir()]:
        raise _missing(place, "val/CLASS/*", " and ".join(missing))
    return _load(place, "imagenet", ["train", "val"], image_size, round(image_size * 256 / 224), _IMAGENET_STATISTICS)


def read_classes(folder: Path, image_size: int) -> FolderImages:
    """The images of ``folder/CLASS/*``, classes in the order of their folders' names.

    Raises:
        DataError: there are none, or a class has none.
    """
    classes = _subfolders(folder)
    if not classes:
        raise DataError(f"Expected folders of images, one a class, got none. ({folder.absolute()})")
    return _read(folder, classes, image_size, image_size)


def _check_image_size(image_size: int) -> None:
    whole = isinstance(image_size, int) and not isinstance(image_size, bool)
    if not whole or not 1 <= image_size <= _LARGEST_SIDE:
        raise ConfigError(
            f"Expected `image_size` of 1 to {_LARGEST_SIDE} pixels, a whole number, got {image_size!r}. "
            "(conf: data.source.image_size)"
        )


def _missing(place: Path, second: str, missing: str) -> DataError:
    return DataError(
        f"Expected the folders train/CLASS/* and {second} of images in {place.absolute()}, missing: {missing}. "
        "Move the images there, or name another folder. (conf: data.root)"
    )


def _load(
    place: Path, name: str, parts: list[str], image_size: int, resize: int, statistics: Statistics | None = None
) -> Source:
    """``parts``: the folders of training, test and, where there are three, validation images."""
    train, *others = (place / part for part in parts)
    classes = _subfolders(train)
    if len(classes) < 2:
        raise DataError(f"Expected at least 2 folders of images, one a class, got {len(classes)}. ({train.absolute()})")
    for other in others:
        if different := set(classes) ^ set(_subfolders(other)):
            raise DataError(
                f"Expected the same classes in {train.absolute()} and {other.name}, "
                f"in one of them only: {', '.join(sorted(different)[:5])} ({len(different)} in all)."
            )
    read = [_read(folder, classes, image_size, resize) for folder in (train, *others)]
    counts = " + ".join(f"{len(part):,}" for part in read)
    origin = f"{name}, {counts} image files" + (f" ({', '.join(parts)})" if len(parts) > 2 else "")
    validation = read[2] if len(read) > 2 else None
    return Source(name, origin, read[0], read[1], statistics, validation, tuple(classes))


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
