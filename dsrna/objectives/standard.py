"""Training on clean images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.objectives.base import LossForward, Objective, Result
from dsrna.types import Threat


class Standard(Objective):
    """Cross-entropy on the clean images; not robust, the baseline of the others.

    Cost: one forward and one backward pass.

    Args:
        threat: taken so that every objective is built alike; nothing is attacked.
        label_smoothing: see :class:`dsrna.objectives.Objective`.
        auxiliary_weight: see :class:`dsrna.objectives.Objective`.
    """

    def __init__(
        self, threat: Threat | None = None, label_smoothing: float = 0.0, auxiliary_weight: float = 0.4
    ) -> None:
        super().__init__(label_smoothing, auxiliary_weight)

    @property
    def title(self) -> str:
        return "standard training"

    def result(
        self, model: nn.Module, forward: LossForward, x: Tensor, y: Tensor, generator: torch.Generator | None
    ) -> Result:
        outputs = forward(x)
        return Result(self.cross_entropy(outputs, y), outputs[0], x)
