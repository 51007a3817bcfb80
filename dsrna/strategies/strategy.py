"""What every search strategy offers."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from dsrna.spaces.search_space import SearchSpace
from dsrna.strategies.architecture import Architecture


class Strategy(ABC):
    """How an architecture is relaxed.

    Attributes:
        partial_channels: one channel in so many goes through the supernet's operations; 1 for all.
    """

    partial_channels: int

    @abstractmethod
    def initial(self, space: SearchSpace, generator: torch.Generator | None = None) -> Architecture:
        """A fresh architecture to start the search from.

        Args:
            space: gives cell types, edges and primitives.
            generator: a CPU generator, source of all random numbers; None draws from torch's global one.
        """

    def check_optimizer(self, optimizer: torch.optim.Optimizer) -> None:  # noqa: B027
        """Says whether an optimiser can move this strategy's parameters; by default any can.

        Args:
            optimizer: of the parameters of what :meth:`initial` gives.

        Raises:
            ConfigError: it can't; says why, and which one can.
        """
