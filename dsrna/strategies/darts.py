"""DARTS."""

from __future__ import annotations

from torch import Tensor

from dsrna.strategies.alphas import AlphaArchitecture, AlphaStrategy


class DartsArchitecture(AlphaArchitecture):
    """w_{e,o} = exp(alpha_{e,o}) / sum_o' exp(alpha_{e,o'}) on every edge e."""

    def relaxed(self, cell_type: str) -> Tensor:
        """See :class:`dsrna.strategies.alphas.AlphaArchitecture`."""
        return self.relaxed_expected(cell_type)


class Darts(AlphaStrategy):
    """Softmax over the operations of every edge.

    Args:
        init_scale, partial_channels, edge_normalization: see :class:`dsrna.strategies.alphas.AlphaStrategy`.

    Source: Liu, Simonyan, Yang, DARTS (ICLR 2019), eq. 2.
    """

    architecture = DartsArchitecture
