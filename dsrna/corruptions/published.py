"""The published corrupted images, CIFAR-10-C and what else is laid out like it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dsrna.corruptions.catalog import SEVERITIES, check
from dsrna.errors import DataError

_WHERE_FROM = (
    "Unpack CIFAR-10-C.tar (zenodo.org/records/2535967; Hendrycks and Dietterich, Benchmarking Neural Network "
    "Robustness to Common Corruptions and Perturbations, ICLR 2019) and name the folder that has labels.npy."
)


class PublishedCorruptions:
    """Corrupted test images as they were published; read where they are asked for, never all at once.

    Files: ``<corruption>.npy``, uint8 (5 M, H, W, 3), the M test images at severity 1, then at severity 2, and so on;
    ``labels.npy``, (5 M,). Nothing is unpickled.

    Args:
        folder: where they are.

    Raises:
        DataError: the labels are missing or unusable.

    Attributes:
        labels: (M,) int64.
        classes: number of classes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        labels = self._open("labels")
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or len(labels) % len(SEVERITIES):
            raise DataError(
                f"Expected integers (5 M,) in {folder / 'labels.npy'}, the same M labels for each of 5 severities, got "
                f"{labels.dtype} {labels.shape}. {_WHERE_FROM}"
            )
        by_severity = labels.reshape(len(SEVERITIES), -1)
        if not len(labels) or (by_severity != by_severity[0]).any():
            raise DataError(
                f"Expected the same labels for every severity in {folder / 'labels.npy'}, got others. {_WHERE_FROM}"
            )
        self.labels = torch.from_numpy(by_severity[0].astype(np.int64))
        self.classes = int(self.labels.max()) + 1

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, name: str, severity: int, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images under a corruption, as float32 (N, 3, H, W) in [0, 1], and their labels (N,).

        Args:
            name: one of the corruptions.
            severity: 1 to 5.
            indices: (N,) in 0..M-1.

        Raises:
            ConfigError: there is no such corruption or severity.
            DataError: the file is missing, damaged or another one.
        """
        check(name, severity)
        images = self._open(name)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or len(images) != 5 * len(self):
            raise DataError(
                f"Expected uint8 images ({5 * len(self)}, H, W, 3) in {self.folder / name}.npy, got {images.dtype} "
                f"{images.shape}. {_WHERE_FROM}"
            )
        chosen = torch.from_numpy(images[(severity - 1) * len(self) + indices.numpy()])
        return chosen.movedim(-1, 1).float().div_(255), self.labels[indices]

    def check_there(self, names: Sequence[str]) -> None:
        """Reads one image of each corruption. Raises DataError for the first file that is missing or unusable."""
        for name in names:
            self.batch(name, 1, torch.tensor([0]))

    def _open(self, name: str) -> np.ndarray:
        path = self.folder / f"{name}.npy"
        if not path.is_file():
            raise DataError(f"Expected {path}, found nothing. {_WHERE_FROM}")
        try:
            opened = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                f"Expected a whole .npy file without pickled objects at {path}, could not read it: {error}. "
                f"Is it truncated? {_WHERE_FROM}"
            ) from error
        if not isinstance(opened, np.ndarray):
            raise DataError(f"Expected one array in {path}, got an archive of several. {_WHERE_FROM}")
        return opened
