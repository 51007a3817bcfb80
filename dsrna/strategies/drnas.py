"""DrNAS."""

from __future__ import annotations

import torch
from torch import Tensor

from dsrna.spaces.search_space import SearchSpace
from dsrna.strategies.alphas import AlphaArchitecture, AlphaStrategy
from dsrna.strategies.dirichlet import dirichlet_draw, dirichlet_sample


class DrnasArchitecture(AlphaArchitecture):
    """Operation weights ~ Dirichlet(c) with c = elu(alphas) + 1 on every edge. Expected: c / sum_o c, their mean."""

    alphas_are = "those of Dirichlet distributions, whose concentrations they set one by one"

    def __init__(
        self, space: SearchSpace, init_scale: float, edge_normalization: bool, generator: torch.Generator | None
    ) -> None:
        super().__init__(space, init_scale, edge_normalization, generator)
        self._draws: dict[str, Tensor] = {}

    def concentration(self, cell_type: str) -> Tensor:
        """(E, O) c of every operation, > 0, dropped ones too."""
        alphas = self.alphas[cell_type]
        # Not F.elu(alphas) + 1, which rounds to 0 far below 0.
        return torch.where(alphas > 0, alphas + 1, alphas.clamp(max=0).exp()).clamp(min=torch.finfo(alphas.dtype).tiny)

    def begin_step(self, progress: float, generator: torch.Generator) -> None:
        """See :class:`dsrna.strategies.architecture.Architecture`."""
        self._draws = {
            cell_type: dirichlet_draw(self.concentration(cell_type), self.kept(cell_type), generator)
            for cell_type in self.alphas
        }

    def relaxed(self, cell_type: str) -> Tensor:
        """See :class:`dsrna.strategies.alphas.AlphaArchitecture`."""
        if not self._draws:
            return self.relaxed_expected(cell_type)
        return dirichlet_sample(self.concentration(cell_type), self.kept(cell_type), self._draws[cell_type])

    def relaxed_expected(self, cell_type: str) -> Tensor:
        """See :class:`dsrna.strategies.alphas.AlphaArchitecture`."""
        kept = self.concentration(cell_type).where(self.kept(cell_type), 0)
        return kept / kept.sum(dim=1, keepdim=True)


class Drnas(AlphaStrategy):
    """Samples the operation weights of every edge and step from a Dirichlet distribution, which is what is learnt.

    The L2 penalty on the alphas, which pulls towards the uniform Dirichlet(1), is the optimiser's ``weight_decay``.

    Args:
        init_scale, partial_channels, edge_normalization: see :class:`dsrna.strategies.alphas.AlphaStrategy`.

    Source: Chen, Wang, Cheng, Tang, Hsieh, DrNAS (ICLR 2021), section 2.2; elu + 1, the implicit derivative and weight
    decay of 1e-3 as in the released code. Differs from it: the draw is made once a step. While it is held, alphas that
    are changed by hand don't change it.
    """

    architecture = DrnasArchitecture
