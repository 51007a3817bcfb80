"""ReLU in a backward substitution."""

from __future__ import annotations

import torch
from torch import Tensor

from dsrna.bounds.interval import Interval
from dsrna.bounds.lines import relu_lines
from dsrna.bounds.substitution import Node, Substituted, dot


class ReluNode(Node):
    """A ReLU between two lines.

    Attributes:
        lower: (N, ...) or (R, N, ...) slopes of the lower lines; where input may have either sign, any number from 0 to
            1 is sound.
        upper, intercept: (N, ...) or (R, N, ...), of the upper lines.
        multiplier: (R, N, ...) rows over the input that are added to those that are substituted, or None.
        unstable: (N, ...) bool, where input may have either sign.
        keeps_rows: whether ``kept_rows`` remembers the rows that were substituted last.
    """

    def __init__(self, source: Node, interval: Interval) -> None:
        super().__init__(source.shape, (source,))
        low, high = interval.lower, interval.upper
        self.lower, self.upper, self.intercept = relu_lines(low, high)
        self.multiplier: Tensor | None = None
        self.unstable = (low < 0) & (high > 0)
        self.keeps_rows = False
        self.kept_rows: Tensor | None = None

    def substitute(self, rows: Tensor) -> Substituted:
        if self.keeps_rows:
            self.kept_rows = rows.detach()
        negative = rows.clamp(max=0)
        substituted = torch.addcmul(rows * self.lower, negative, self.upper - self.lower)
        if self.multiplier is not None:
            substituted = substituted + self.multiplier
        return Substituted((substituted,), dot(negative, self.intercept))
