"""Single paths, all equally likely, of which nothing is learnt."""

from __future__ import annotations

from typing import ClassVar

from dsrna.strategies.gdas import GdasArchitecture
from dsrna.strategies.snas import Snas


class UniformArchitecture(GdasArchitecture):
    """One operation an edge, drawn anew in each step; the alphas stay as they began, so that the argmax cell is random.

    There are no architecture steps.
    """

    learns: ClassVar[bool] = False


class Uniform(Snas):
    """Trains a supernet on single paths, drawn uniformly: what chooses among cells is the ``selection``.

    Goes with ``selection=shortlist``: random search by shared weights. Without architecture steps an epoch costs about
    half as much as with them.

    Args:
        partial_channels, edge_normalization: see :class:`dsrna.strategies.alphas.AlphaStrategy`.

    Sources: Guo et al., Single Path One-Shot Neural Architecture Search (ECCV 2020, arXiv 1904.00420); Li and
    Talwalkar, Random Search and Reproducibility for Neural Architecture Search (UAI 2019, arXiv 1902.07638).
    """

    architecture = UniformArchitecture

    def __init__(self, partial_channels: int = 1, edge_normalization: bool = False) -> None:
        super().__init__(1.0, 1.0, 1e-3, partial_channels, edge_normalization)
