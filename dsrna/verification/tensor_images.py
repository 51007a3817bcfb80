"""Two tensors as a data set."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.attacks import frozen
from dsrna.errors import DataError


class TensorImages:
    """Images and classes held in memory.

    Args:
        x: (M, C, H, W) floating point images in [0, 1].
        y: (M,) int64 classes in 0..K-1.
        classes: K.
    """

    def __init__(self, x: Tensor, y: Tensor, classes: int) -> None:
        self.classes = classes
        self._x = x
        self._y = y

    @classmethod
    def of(cls, model: nn.Module, x: Tensor, y: Tensor) -> TensorImages:
        """With as many classes as the network has logits.

        Raises:
            DataError: there are no images, or not one class for each, or a class beyond the logits.
        """
        if len(x) == 0 or y.shape != x.shape[:1]:
            raise DataError(f"Expected images with one class each, got {len(x)} and classes {tuple(y.shape)}.")
        with frozen(model), torch.no_grad():
            classes = model(x[:1].to(next(model.parameters(), x).device)).shape[-1]
        if int(y.min()) < 0 or int(y.max()) >= classes:
            raise DataError(
                f"Expected classes from 0 to {classes - 1}, as the network has {classes} logits, "
                f"got {int(y.min())} to {int(y.max())}."
            )
        return cls(x, y, classes)

    def __len__(self) -> int:
        return len(self._x)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        return self._x[indices], self._y[indices]
