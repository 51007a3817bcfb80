"""GAEA."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dsrna.errors import ConfigError
from dsrna.spaces.search_space import SearchSpace
from dsrna.strategies.alphas import AlphaStrategy
from dsrna.strategies.darts import DartsArchitecture
from dsrna.strategies.exponentiated_gradient import ExponentiatedGradient


class GaeaArchitecture(DartsArchitecture):
    """Operation weights p that are themselves what is moved; alphas hold log p.

    Attributes:
        alphas: cell type -> (E, O), -inf where an operation was dropped.
        betas: cell type -> (nodes, E), the logarithms of the weights of the edges that enter a node, -inf for those
            that don't; empty without edge normalisation.
    """

    alphas_are = "the logarithms of probabilities, whose logsumexp is always 0"

    def __init__(
        self, space: SearchSpace, init_scale: float, edge_normalization: bool, generator: torch.Generator | None
    ) -> None:
        super().__init__(space, init_scale, edge_normalization, generator)
        with torch.no_grad():
            for alphas in self.alphas.values():
                alphas.copy_(alphas.log_softmax(dim=1))
            for cell_type, betas in self.betas.items():
                targets = torch.tensor(self._targets[cell_type])
                rows = torch.stack([betas.where(targets == node, -math.inf) for node in targets.unique()])
                self.betas[cell_type] = nn.Parameter(rows.log_softmax(dim=1))

    def keep(self, kept: Mapping[str, Tensor]) -> None:
        """See :class:`dsrna.strategies.alphas.AlphaArchitecture`; what is left sums to 1 again."""
        super().keep(kept)
        with torch.no_grad():
            for cell_type, alphas in self.alphas.items():
                alphas.copy_(self.logits(cell_type).log_softmax(dim=1))

    def _edges(self, cell_type: str) -> Tensor | None:
        return self.betas[cell_type].softmax(dim=1).sum(dim=0) if cell_type in self.betas else None


class Gaea(AlphaStrategy):
    """Geometry-aware: the weights of an edge's operations are probabilities, moved by the exponentiated gradient.

    They start uniform, but for ``init_scale``. With edge normalisation the weights of the edges that enter a node are
    moved in the same way.

    Args:
        init_scale, partial_channels, edge_normalization: see :class:`dsrna.strategies.alphas.AlphaStrategy`.

    Source: Li, Khodak, Balcan, Talwalkar, Geometry-Aware Gradient Algorithms for NAS (ICLR 2021), section 3.2. The
    update is :class:`dsrna.strategies.exponentiated_gradient.ExponentiatedGradient`. Differs from the released code:
    that starts exactly uniform, trains alphas and weights on the same images on NAS-Bench-201, and without ``none``;
    here both learn on halves of the images in turn, as with every strategy, among all of the space's operations.
    """

    architecture = GaeaArchitecture

    def check_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """See :meth:`dsrna.strategies.strategy.Strategy.check_optimizer`."""
        if not isinstance(optimizer, ExponentiatedGradient):
            raise ConfigError(
                f"GAEA is the exponentiated gradient of the operation weights, and {type(optimizer).__name__} would "
                "make it DARTS: add optimizer@search.alphas_optimizer=exponentiated_gradient, which strategy=gaea "
                "brings unless something else is chosen there, or take strategy=darts. (conf: search.alphas_optimizer)"
            )
