"""ReLU in a backward substitution."""

from __future__ import annotations

import torch
from torch import Tensor

from dsrna.bounds.interval import Interval
from dsrna.bounds.lines import relu_lines
from dsrna.bounds.substitution import Node, Pulled, dot


class ReluNode(Node):
    """A ReLU between two lines.

    Attributes:
        lower: (N, ...) or (R, N, ...) slopes of the lower lines; where input may have either sign, any number from 0 to
            1 is sound.
        unstable: (N, ...) bool, where input may have either sign.
    """

    def __init__(self, source: Node, interval: Interval) -> None:
        super().__init__(source.shape, (source,))
        low, high = interval.lower, interval.upper
        self.lower, self._upper, self._intercept = relu_lines(low, high)
        self.unstable = (low < 0) & (high > 0)

    def pull(self, rows: Tensor) -> Pulled:
        positive = rows.relu()
        pulled = torch.addcmul(rows * self._upper, positive, self.lower - self._upper)
        return Pulled((pulled,), dot(rows, self._intercept) - dot(positive, self._intercept))
