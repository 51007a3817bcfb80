"""Corrupted images as they were published, in the layout of CIFAR-10-C or in that of ImageNet-C."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from dsrna.corruptions import PublishedCorruptions
from dsrna.data.folders import read_classes
from dsrna.data.images import FolderImages
from dsrna.errors import DataError


class CorruptedImages(Protocol):
    """The same images under every corruption at every severity."""

    classes: int

    def __len__(self) -> int: ...

    def batch(self, name: str, severity: int, indices: Tensor) -> tuple[Tensor, Tensor]: ...

    def check_there(self, names: Sequence[str]) -> None: ...


def open_published(folder: Path, image_size: int) -> CorruptedImages:
    """The published images in a folder: ``NAME.npy`` and ``labels.npy``, or ``NAME/SEVERITY/CLASS/*``.

    Args:
        folder: where they are.
        image_size: side of the square that the network takes; of ``.npy`` files it is theirs.

    Raises:
        DataError: they are in neither layout.
    """
    if _first_severities(folder):
        return FolderCorruptions(folder, image_size)
    return PublishedCorruptions(folder)


def _first_severities(folder: Path) -> list[Path]:
    """The folders ``NAME/1``, or those with a kind before, in order."""
    return [place for way in ("*/1", "*/*/1") for place in sorted(folder.glob(way)) if place.is_dir()]


class FolderCorruptions:
    """ImageNet-C as it is unpacked: ``NAME/SEVERITY/CLASS/*``, or with the kind before, ``noise/gaussian_noise/…``.

    Args:
        folder: where it is.
        image_size: side of the square; the centre is cut out.

    Attributes:
        classes: number of classes.
    """

    def __init__(self, folder: Path, image_size: int) -> None:
        self._folder, self._size = folder, image_size
        self._opened: dict[tuple[str, int], FolderImages] = {}
        self._first = self._images(_first_severities(folder)[0].parent.name, 1)
        self.classes = self._first.classes

    def __len__(self) -> int:
        return len(self._first)

    def batch(self, name: str, severity: int, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images under a corruption, as float32 (N, 3, H, W) in [0, 1], and their labels (N,)."""
        images = self._images(name, severity)
        if not torch.equal(images.labels, self._first.labels):
            raise DataError(
                f"Expected the same {len(self)} labels under every corruption in {self._folder}, got others of {name} "
                f"at severity {severity} ({len(images)} images). Unpack its archive again."
            )
        return images.batch(indices)

    def check_there(self, names: Sequence[str]) -> None:
        """Raises DataError for the first corruption that is missing."""
        for name in names:
            self._place(name, 1)

    def _images(self, name: str, severity: int) -> FolderImages:
        if (name, severity) not in self._opened:
            self._opened[name, severity] = read_classes(self._place(name, severity), self._size)
        return self._opened[name, severity]

    def _place(self, name: str, severity: int) -> Path:
        places = [place for kind in ("", "*/") for place in self._folder.glob(f"{kind}{name}/{severity}")]
        if not places:
            raise DataError(
                f"Expected images in {self._folder / name / str(severity)}/CLASS/*, found nothing. Unpack ImageNet-C "
                "there (zenodo.org/records/2235448). (conf: evaluate.corruptions.published)"
            )
        return places[0]
