"""The images that attacks end with, on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dsrna.files import write_atomically


class SavedExamples:
    """Examples of one attack in one threat model, a file a batch: ``NAME_FIRST.npz`` with three arrays.

    ``indices`` (n,): places in the data set, of the images that are correct without attack; ``examples`` (n, C, H, W)
    in [0, 1], in the precision that the network took (rounding to bytes could undo an attack); ``labels`` (n,): their
    true classes. An image on which the attack failed may be as it was.

    Args:
        folder: where the files go.
        name: of the attack's measurement.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name

    def save(self, indices: Tensor, examples: Tensor, labels: Tensor) -> None:
        """Writes a batch, whole or not at all."""
        if len(indices) == 0:
            return
        path = self._folder / f"{self._name}_{int(indices[0]):06d}.npz"
        write_atomically(
            path,
            lambda file: np.savez(file, indices=_array(indices), examples=_array(examples), labels=_array(labels)),
        )


def saved_bytes(images: int, values: int, measurements: int) -> int:
    """At most so many bytes are saved, of images of so many values in single precision."""
    return images * measurements * 4 * values


def _array(value: Tensor) -> np.ndarray:
    value = value.detach().cpu()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
