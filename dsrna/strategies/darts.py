"""DARTS."""

from __future__ import annotations

import torch
from torch import nn

from dsrna.errors import ConfigError
from dsrna.spaces.search_space import SearchSpace
from dsrna.strategies.architecture import Architecture
from dsrna.strategies.strategy import Strategy
from dsrna.types import CellWeights, OperationWeights


class DartsArchitecture(Architecture):
    """w_{e,o} = exp(alpha_{e,o}) / sum_o' exp(alpha_{e,o'}) on every edge e; every edge counts once.

    Args:
        space: gives cell types, edges and primitives.
        init_scale: standard deviation of the initial alphas.
        generator: source of the initial alphas.

    Attributes:
        alphas: cell type -> (E, O).
    """

    def __init__(self, space: SearchSpace, init_scale: float, generator: torch.Generator | None) -> None:
        super().__init__()
        self.alphas = nn.ParameterDict(
            {
                cell_type: nn.Parameter(init_scale * torch.randn(shape, generator=generator))
                for cell_type, shape in space.weight_shapes().items()
            }
        )

    def forward(self) -> OperationWeights:
        """See :class:`dsrna.strategies.architecture.Architecture`."""
        return {cell_type: CellWeights(alphas.softmax(dim=1)) for cell_type, alphas in self.alphas.items()}


class Darts(Strategy):
    """Softmax over the operations of every edge.

    Args:
        init_scale: standard deviation of the initial alphas, >= 0.

    Raises:
        ConfigError: ``init_scale`` is negative.

    Source: Liu, Simonyan, Yang, DARTS (ICLR 2019), eq. 2.
    """

    partial_channels = 1

    def __init__(self, init_scale: float = 1e-3) -> None:
        self.init_scale = checked_init_scale(init_scale)

    def initial(self, space: SearchSpace, generator: torch.Generator | None = None) -> DartsArchitecture:
        """See :meth:`dsrna.strategies.strategy.Strategy.initial`."""
        return DartsArchitecture(space, self.init_scale, generator)


def checked_init_scale(init_scale: float) -> float:
    """``init_scale``, if it is a standard deviation.

    Raises:
        ConfigError: it is negative.
    """
    if not init_scale >= 0:
        raise ConfigError(f"Expected `init_scale` >= 0, got {init_scale}. (conf: strategy.init_scale)")
    return init_scale
