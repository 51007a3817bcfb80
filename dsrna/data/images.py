"""Labelled images, in memory or on disk, read a batch at a time."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dsrna.data.image_files import read_image
from dsrna.errors import DataError

_READ_WHOLE = 4 * 2**30
"""Bytes of image files that are read to know a data set by its content: seconds, beside hours of training."""


class ImageDataset(ABC):
    """Images of one size with one label each.

    Attributes:
        shape: (C, H, W) of every image.
        classes: number of classes K.
        labels: (M,) int64 in 0..K-1.
        decodes: whether ``batch`` decodes files, so that reading ahead in the background pays.
    """

    decodes: bool = False

    def __init__(self, shape: tuple[int, int, int], classes: int, labels: Tensor) -> None:
        self.shape = shape
        self.classes = classes
        self.labels = labels.to(torch.int64)

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The images at ``indices`` (N,) as float32 (N, C, H, W) in [0, 1], and their labels (N,) int64."""

    @abstractmethod
    def digest(self) -> str:
        """32 hexadecimal digits that stand for the images and labels, wherever they lie; the first call reads them."""

    def subset(self, indices: Tensor) -> ImageDataset:
        """A view of the images at ``indices`` (N,), in that order; it copies no pixels."""
        return _Subset(self, indices)


class _Subset(ImageDataset):
    def __init__(self, whole: ImageDataset, indices: Tensor) -> None:
        super().__init__(whole.shape, whole.classes, whole.labels[indices])
        self.decodes = whole.decodes
        self._whole = whole
        self._indices = indices

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        return self._whole.batch(self._indices[indices])

    def digest(self) -> str:
        return digest_of([self._whole.digest().encode(), _bytes(self._indices)])


class ArrayImages(ImageDataset):
    """Images held in memory as bytes.

    Args:
        images: (M, C, H, W) uint8; pixel value v becomes v / 255.
        labels: (M,) integers in 0..classes-1.
        classes: number of classes.

    Raises:
        DataError: the images are not 4-dimensional uint8, or there are not as many labels as images.
    """

    def __init__(self, images: Tensor, labels: Tensor, classes: int) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4 or len(labels) != len(images):
            raise DataError(
                "Expected uint8 images (M, C, H, W) and M labels, "
                f"got {images.dtype} {tuple(images.shape)} and {len(labels)} labels."
            )
        channels, height, width = images.shape[1:]
        super().__init__((channels, height, width), classes, labels)
        self._images = images
        self._digest: str | None = None

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        return self._images[indices].float().div_(255), self.labels[indices]

    def digest(self) -> str:
        if self._digest is None:
            about = f"{tuple(self._images.shape)} {self.classes}"
            self._digest = digest_of([about.encode(), _bytes(self._images), _bytes(self.labels)])
        return self._digest


class FolderImages(ImageDataset):
    """Image files, decoded when asked for by a pool of threads.

    Every image is made RGB, resized and cropped as :func:`dsrna.data.image_files.read_image` says.

    Args:
        files: paths of M image files.
        labels: (M,) integers in 0..classes-1.
        classes: number of classes.
        image_size: side of the square, in pixels.
        resize: length of the shorter side before cropping, in pixels, >= ``image_size``; None: ``image_size``.
    """

    decodes = True

    def __init__(
        self, files: Sequence[str], labels: Tensor, classes: int, image_size: int, resize: int | None = None
    ) -> None:
        super().__init__((3, image_size, image_size), classes, labels)
        self._files = files
        self._resize = resize or image_size
        self._digest: str | None = None

    def digest(self) -> str:
        """As in :class:`ImageDataset`, of the files' content in their order; of each file's size alone beyond 4 GiB.

        Raises:
            DataError: a file is missing or can't be read.
        """
        if self._digest is None:
            about = f"{self.shape} {self._resize} {self.classes}"
            with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
                try:
                    sizes = list(pool.map(os.path.getsize, self._files))
                    whole = sum(sizes) <= _READ_WHOLE
                    contents = pool.map(_file_digest, self._files) if whole else ()
                    self._digest = digest_of([about.encode(), _bytes(self.labels), repr(sizes).encode(), *contents])
                except OSError as error:
                    raise DataError(f"Expected a readable image, got: {error}. Replace or delete the file.") from error
        return self._digest

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """As in :class:`ImageDataset`.

        Raises:
            DataError: a file is missing, or can't be read as an image in [0, 1]; the message has its path.
        """
        # A pool for each batch: starting it costs little beside decoding, and nothing is left over to be closed.
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            images = list(pool.map(self._read, [self._files[index] for index in indices.tolist()]))
        return torch.stack(images), self.labels[indices]

    def _read(self, file: str) -> Tensor:
        try:
            return read_image(file, self._resize, self.shape[1])
        except DataError as error:
            raise DataError(
                f"{error} Replace the file by a whole one, or move it out of the folder. ({Path(file).absolute()})"
            ) from error


def digest_of(parts: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _bytes(values: Tensor) -> memoryview:
    array: Any = values.contiguous().numpy()
    return memoryview(array).cast("B")


def _file_digest(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
