"""FairDARTS."""

from __future__ import annotations

from torch import Tensor

from dsrna.strategies.alphas import AlphaArchitecture, AlphaStrategy


class FairArchitecture(AlphaArchitecture):
    """w_{e,o} = 1 / (1 + exp(-alpha_{e,o})): each operation of an edge by itself."""

    on_simplex = False
    alphas_are = "logits of one operation each"

    def relaxed(self, cell_type: str) -> Tensor:
        """See :class:`dsrna.strategies.alphas.AlphaArchitecture`."""
        return self.logits(cell_type).sigmoid()

    def relaxed_expected(self, cell_type: str) -> Tensor:
        """See :class:`dsrna.strategies.alphas.AlphaArchitecture`."""
        return self.relaxed(cell_type)


class Fair(AlphaStrategy):
    """A sigmoid for each operation: operations of an edge don't compete, so that skips have nothing to gain by it.

    The zero-one loss that goes with it is a regulariser of its own: ``regulariser=[zero_one]``.

    Args:
        init_scale, partial_channels, edge_normalization: see :class:`dsrna.strategies.alphas.AlphaStrategy`.

    Source: Chu, Zhou, Zhang, Li, Fair DARTS (ECCV 2020), eq. 3. Differs from it: the genotype is derived by the space's
    own rule, as for all strategies, where FairDARTS keeps what is above a threshold, at most two edges a node.
    """

    architecture = FairArchitecture
