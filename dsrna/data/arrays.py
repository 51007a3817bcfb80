"""Data sets in four numpy arrays: a user's own ``.npz``, and the checks that other loaders share."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from dsrna.data.images import ArrayImages
from dsrna.data.source import Source
from dsrna.errors import DataError


class Arrays(NamedTuple):
    """Images as uint8 (M, H, W, C), or (M, H, W) for grayscale; labels as integers (M,) or (M, 1)."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    x_val: np.ndarray | None = None
    y_val: np.ndarray | None = None


NEEDED = Arrays._fields[:4]

_USUAL_CHANNELS = 4
"""Grey, colour, with transparency; images of more are looked at twice."""


def load_arrays(path: str, name: str = "arrays") -> Source:
    """A user's own images from one ``.npz`` file, as ``numpy.savez`` writes it.

    Args:
        path: file with ``x_train``, ``x_test``: uint8 (M, H, W, C) with channels last, or (M, H, W), which is read as
            grayscale; ``y_train``, ``y_test``: integers (M,), or (M, 1) as Keras has them. Labels are 0..K-1, and all
            of them occur in ``y_train``. ``x_val`` and ``y_val``, where they are there, are the validation split.
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
    """Reads the arrays; unpickles nothing, and unpacks nothing that memory can't hold.

    Raises:
        DataError: the file is missing or not a whole ``.npz``, or an array is missing, unreadable or too large.
    """
    if not file.is_file():
        raise DataError(f"Expected an .npz file, got nothing there. ({file})")
    current = "its list of arrays"
    try:
        with (
            zipfile.ZipFile(file) as packed,
            np.load(file, allow_pickle=False) as archive,
        ):  # numpy alone would take .npy
            if missing := [name for name in NEEDED if name not in archive.files]:
                raise DataError(
                    f"Expected arrays {', '.join(NEEDED)}; missing: {', '.join(missing)}; "
                    f"there are: {', '.join(archive.files[:20]) or 'none'}. Write them with numpy.savez. ({file})"
                )
            wanted = [name for name in Arrays._fields if name in archive.files]
            if len(wanted) == len(NEEDED) + 1:
                raise DataError(f"Expected x_val and y_val, or neither, got {wanted[-1]} alone. ({file})")
            _check_sizes([packed.getinfo(f"{name}.npy") for name in wanted], file)
            arrays = {}
            for current in wanted:
                arrays[current] = np.asarray(archive[current])
    except DataError:
        raise
    except Exception as error:  # damaged bytes make zipfile, its codecs and numpy fail in any way
        raise DataError(
            f"Expected a whole .npz file, could not read {current}: {type(error).__name__}: {error}. "
            f"Write it again with numpy.savez. ({file})"
        ) from error
    return Arrays(**arrays)


def _check_sizes(members: list[zipfile.ZipInfo], file: Path) -> None:
    """Numpy would unpack whatever a file says that it holds; a few bytes can stand for any number of them."""
    size, room = sum(member.file_size for member in members), _memory() // 2  # they are copied once
    if size > room:
        raise DataError(
            f"Expected arrays of at most {room / 2**30:.1f} GiB, half of the memory here, got {size / 2**30:.1f} GiB "
            f"in {', '.join(member.filename for member in members)}: is it damaged? ({file})"
        )


def _memory() -> int:
    """Bytes of the machine; where the system doesn't tell, as many as can be counted."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize


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
    parts = {"train": (arrays.x_train, arrays.y_train), "test": (arrays.x_test, arrays.y_test)}
    if arrays.x_val is not None and arrays.y_val is not None:
        parts["val"] = (arrays.x_val, arrays.y_val)
    made: dict[str, ArrayImages] = {}
    for part, (pixels, labels) in parts.items():
        images = _checked_images(pixels, f"x_{part}", where)
        image_shape = image_shape or images.shape[1:]
        if images.shape[1:] != image_shape:
            raise DataError(
                f"Expected images of (H, W, C) = {image_shape} in x_{part}, got {images.shape[1:]}. ({where})"
            )
        made[part] = _in_memory(images, _checked_labels(labels, f"y_{part}", len(images), classes, where), classes)
    return Source(name, origin, made["train"], made["test"], validation=made.get("val"))


def _checked_images(images: np.ndarray, name: str, where: Path) -> np.ndarray:
    """``images`` as (M, H, W, C), or DataError."""
    if images.dtype != np.uint8:
        raise DataError(
            f"Expected {name} to be uint8 with values 0..255, got {images.dtype}. "
            f"For images in [0, 1] write (255 * x).round().astype('uint8'). ({where})"
        )
    with_channels = images[..., None] if images.ndim == 3 else images
    if with_channels.ndim != 4 or images.size == 0:
        raise DataError(
            f"Expected {name} of shape (M, H, W, C) or (M, H, W), and not empty, got {images.shape}. ({where})"
        )
    height, width, channels = with_channels.shape[1:]
    if channels > _USUAL_CHANNELS and (height <= _USUAL_CHANNELS or height < width <= channels):
        raise DataError(
            f"Expected {name} with channels last, (M, H, W, C), got {images.shape}, which looks like channels first: "
            f"write x.transpose(0, 2, 3, 1). ({where})"
        )
    return with_channels


def _checked_labels(labels: np.ndarray, name: str, images: int, classes: int, where: Path) -> np.ndarray:
    """``labels`` as (M,), or DataError."""
    flat = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if flat.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"Expected {name} to be integers of shape (M,) or (M, 1), got {labels.dtype} {labels.shape}. ({where})"
        )
    if len(flat) != images:
        raise DataError(f"Expected one label an image: {name} has {len(flat)} for {images} images. ({where})")
    if len(outside := flat[(flat < 0) | (flat >= classes)]):
        raise DataError(
            f"Expected labels 0..{classes - 1} in {name}, got {outside[0]} ({len(outside)} labels out of range). "
            f"Number the classes from 0 without gaps. ({where})"
        )
    return flat


def _in_memory(images: np.ndarray, labels: np.ndarray, classes: int) -> ArrayImages:
    channels_first = images.transpose(0, 3, 1, 2).copy()  # contiguous, and writable even where `images` is not
    return ArrayImages(torch.from_numpy(channels_first), torch.from_numpy(labels.astype(np.int64)), classes)
