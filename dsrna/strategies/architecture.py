"""What the strategies give: a module that holds the alphas."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from dsrna.strategies.entropy import operation_entropy
from dsrna.types import OperationWeights


class Architecture(nn.Module, ABC):
    """The architecture under search: its parameters are the alphas, its output is their relaxation."""

    @abstractmethod
    def forward(self) -> OperationWeights:
        """Operation weights (and edge weights) of every cell type, differentiable in the parameters."""

    def entropy(self) -> Tensor:
        """Scalar: entropy of the operation weights in nats, averaged over edges, then over cell types."""
        return torch.stack([operation_entropy(cell.operations) for cell in self().values()]).mean()
