"""What every supernet offers."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from dsrna.types import OperationWeights


class Supernet(nn.Module, ABC):
    """The network of a search: every operation on every edge, mixed by weights that come from outside."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images."""

    @abstractmethod
    def forward(self, x: Tensor, weights: OperationWeights) -> Tensor:
        """Returns logits (N, K) for x (N, C, H, W) in [0, 1].

        Args:
            x: images; normalisation is the network's first layer.
            weights: cell type -> operation weights (E, O) and edge weights (E,) or None. The logits are differentiable
                in them, also where a weight is zero.
        """
