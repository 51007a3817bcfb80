"""A supernet and its architecture as one network."""

from __future__ import annotations

from torch import Tensor, nn

from dsrna.spaces.supernet import Supernet
from dsrna.strategies.architecture import Architecture


class RelaxedSupernet(nn.Module):
    """x -> supernet(x, architecture()): what metrics and attacks see.

    Args:
        supernet: its parameters are the network weights.
        architecture: its parameters are the alphas.
    """

    def __init__(self, supernet: Supernet, architecture: Architecture) -> None:
        super().__init__()
        self.supernet = supernet
        self.architecture = architecture

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (N, C, H, W) in [0, 1] to logits (N, K), differentiable in x, network weights and alphas."""
        return self.supernet(x, self.architecture())
