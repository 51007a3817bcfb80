"""PC-DARTS."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dsrna.errors import ConfigError
from dsrna.spaces.search_space import SearchSpace
from dsrna.strategies.darts import DartsArchitecture, checked_init_scale
from dsrna.strategies.strategy import Strategy
from dsrna.types import CellWeights, OperationWeights


class PCDartsArchitecture(DartsArchitecture):
    """DARTS's operation weights, and edge weights: a softmax of betas over the edges that enter the same node.

    Args:
        space: gives cell types, edges and primitives.
        init_scale: standard deviation of the initial alphas and betas.
        generator: source of the initial alphas and betas.

    Attributes:
        alphas: cell type -> (E, O).
        betas: cell type -> (E,).
    """

    def __init__(self, space: SearchSpace, init_scale: float, generator: torch.Generator | None) -> None:
        super().__init__(space, init_scale, generator)
        edges = {cell_type: space.edges(cell_type) for cell_type in space.cell_types}
        self.betas = nn.ParameterDict(
            {
                cell_type: nn.Parameter(init_scale * torch.randn(len(of_cell), generator=generator))
                for cell_type, of_cell in edges.items()
            }
        )
        self._targets = {cell_type: [target for _, target in of_cell] for cell_type, of_cell in edges.items()}

    def forward(self) -> OperationWeights:
        """See :class:`dsrna.strategies.architecture.Architecture`."""
        return {
            cell_type: CellWeights(cell.operations, normalize_edges(self.betas[cell_type], self._targets[cell_type]))
            for cell_type, cell in super().forward().items()
        }


class PCDarts(Strategy):
    """Partial channels and edge normalisation, the host of DSRNA.

    Args:
        partial_channels: K; one channel in K goes through the operations (4 as published for CIFAR-10).
        init_scale: standard deviation of the initial alphas and betas, >= 0.

    Raises:
        ConfigError: a value is out of range.

    Source: Xu et al., PC-DARTS (ICLR 2020), eqs. 1 and 2.
    """

    def __init__(self, partial_channels: int = 4, init_scale: float = 1e-3) -> None:
        if partial_channels < 1:
            raise ConfigError(
                f"Expected `partial_channels` >= 1, got {partial_channels}; 1 sends every channel through the "
                "operations. (conf: strategy.partial_channels)"
            )
        self.partial_channels = partial_channels
        self.init_scale = checked_init_scale(init_scale)

    def initial(self, space: SearchSpace, generator: torch.Generator | None = None) -> PCDartsArchitecture:
        """See :meth:`dsrna.strategies.strategy.Strategy.initial`."""
        return PCDartsArchitecture(space, self.init_scale, generator)


def normalize_edges(betas: Tensor, targets: list[int]) -> Tensor:
    """Softmax over the edges that enter the same node.

    Args:
        betas: (E,).
        targets: the node that each edge enters, in any order.

    Returns:
        (E,) edge weights; those of each node sum to 1.

    >>> normalize_edges(torch.zeros(5), [2, 2, 3, 3, 3])
    tensor([0.5000, 0.5000, 0.3333, 0.3333, 0.3333])
    """
    enters = torch.tensor(
        [[target == node for target in targets] for node in sorted(set(targets))], device=betas.device
    )
    return betas.where(enters, -math.inf).softmax(dim=1).sum(dim=0)
