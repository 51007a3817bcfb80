"""No robustness metric."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.metrics.base import RobustnessMetric


class NoMetric(RobustnessMetric):
    """Scores every network zero and never runs it: the plain host (DARTS, PC-DARTS)."""

    rewards_ignoring_the_input = False
    scale_free = True

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        """Zeros, without a graph."""
        return x.new_zeros(len(x))
