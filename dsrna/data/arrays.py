"""Data sets in four numpy arrays: a user's own ``.npz``, and the checks that other loaders share."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from dsrna.data.images import ArrayImages
from dsrna.data.source import Source
from dsrna.errors import DataError


class Arrays(NamedTuple):
    """Images as uint8 (M, H, W, C), or (M, H, W) for grayscale; labels as integers (M,)."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def load_arrays(path: str, name: str = "arrays") -> Source:
    """A user's own images from one ``.npz`` file, as ``numpy.savez`` writes it.

    Args:
        path: file with ``x_train``, ``x_test``: uint8 (M, H, W, C) with C = 1 or 3, or (M, H, W), which is read as
            grayscale; ``y_train``, ``y_test``: integers (M,). Labels are 0..K-1, and all of them occur in ``y_train``.
        name: the data set's name in tables.

    Raises:
        DataError: the file is missing or damaged, or an array is not as said above; the message names the array.
    """
    file = Path(path).expanduser()
    arrays = read_npz(file)
    classes = len(np.unique(arrays.y_train))
    if classes < 2:
        raise DataError(f"Expected at least 2 classes in y_train, got {classes}. ({file})")
    return to_source(arrays, name, f"{name}, arrays in {file.name}", file, classes)


def read_npz(file: Path) -> Arrays:
    """Reads the four arrays; unpickles nothing.

    Raises:
        DataError: the file is missing or not a whole ``.npz``, or an array is missing or unreadable.
    """
    if not file.is_file():
        raise DataError(f"Expected an .npz file, got nothing there. ({file})")
    current = "its list of arrays"
    try:
        with zipfile.ZipFile(file), np.load(file, allow_pickle=False) as archive:  # numpy alone would take an .npy too
            if missing := [name for name in Arrays._fields if name not in archive.files]:
                raise DataError(
                    f"Expected arrays {', '.join(Arrays._fields)}; missing: {', '.join(missing)}; "
                    f"there are: {', '.join(archive.files) or 'none'}. Write them with numpy.savez. ({file})"
                )
            arrays = []
            for current in Arrays._fields:
                arrays.append(np.asarray(archive[current]))  # a member that is no array comes as bytes
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise DataError(
            f"Expected a whole .npz file, could not read {current}: {type(error).__name__}: {error}. "
            f"Write it again with numpy.savez. ({file})"
        ) from error
    return Arrays(*arrays)


def to_source(
    arrays: Arrays, name: str, origin: str, where: Path, classes: int, image_shape: tuple[int, int, int] | None = None
) -> Source:
    """Checks the arrays and makes them a data set.

    Args:
        arrays: as read.
        name, origin: as in :class:`Source`.
        where: file or folder, for messages.
        classes: labels must be in 0..classes-1.
        image_shape: (H, W, C) that the images must have; None: what the training images have.

    Raises:
        DataError: an array has the wrong type, rank, size, length or labels; the message names it.
    """
    x_train = _checked_images(arrays.x_train, "x_train", where)
    x_test = _checked_images(arrays.x_test, "x_test", where)
    expected = image_shape or x_train.shape[1:]
    for images, part in ((x_train, "x_train"), (x_test, "x_test")):
        if images.shape[1:] != expected:
            raise DataError(f"Expected images of (H, W, C) = {expected} in {part}, got {images.shape[1:]}. ({where})")
    _check_labels(arrays.y_train, "y_train", len(x_train), classes, where)
    _check_labels(arrays.y_test, "y_test", len(x_test), classes, where)
    return Source(
        name, origin, _in_memory(x_train, arrays.y_train, classes), _in_memory(x_test, arrays.y_test, classes)
    )


def _checked_images(images: np.ndarray, name: str, where: Path) -> np.ndarray:
    """``images`` as (M, H, W, C), or DataError."""
    if images.dtype != np.uint8:
        raise DataError(
            f"Expected {name} to be uint8 with values 0..255, got {images.dtype}. "
            f"For images in [0, 1] write (255 * x).round().astype('uint8'). ({where})"
        )
    with_channels = images[..., None] if images.ndim == 3 else images
    if with_channels.ndim != 4 or with_channels.shape[3] not in (1, 3) or images.size == 0:
        raise DataError(
            f"Expected {name} of shape (M, H, W, C) with C = 1 or 3, or (M, H, W), and not empty, "
            f"got {images.shape}. ({where})"
        )
    return with_channels


def _check_labels(labels: np.ndarray, name: str, images: int, classes: int, where: Path) -> None:
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"Expected {name} to be integers of shape (M,), got {labels.dtype} {labels.shape}. ({where})")
    if len(labels) != images:
        raise DataError(f"Expected one label an image: {name} has {len(labels)} for {images} images. ({where})")
    if len(outside := labels[(labels < 0) | (labels >= classes)]):
        raise DataError(
            f"Expected labels 0..{classes - 1} in {name}, got {outside[0]} ({len(outside)} labels out of range). "
            f"Number the classes from 0 without gaps. ({where})"
        )


def _in_memory(images: np.ndarray, labels: np.ndarray, classes: int) -> ArrayImages:
    channels_first = images.transpose(0, 3, 1, 2).copy()  # contiguous, and writable even where `images` is not
    return ArrayImages(torch.from_numpy(channels_first), torch.from_numpy(labels.astype(np.int64)), classes)
