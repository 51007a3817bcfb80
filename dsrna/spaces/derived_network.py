"""What every derived network offers."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from dsrna.nn.drop_path import DropPath


class DerivedNetwork(nn.Module, ABC):
    """The network of a genotype, to be trained from scratch."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Returns logits (N, K) for x (N, C, H, W) in [0, 1], never anything else."""

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns (logits, logits of the auxiliary head), the second None where the network has no such head."""
        return self(x), None

    def set_drop_path(self, probability: float) -> None:
        """Sets the drop-path probability of every cell.

        Raises:
            ConfigError: it isn't in [0, 1).
        """
        for module in self.modules():
            if isinstance(module, DropPath):
                module.set_probability(probability)
