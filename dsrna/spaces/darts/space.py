"""The DARTS search space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from dsrna.errors import GenotypeError
from dsrna.nn.operations import OPERATIONS
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.search_space import SearchSpace
from dsrna.spaces.skeletons.stacked import REDUCTION

DARTS_PRIMITIVES = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)


@dataclass(frozen=True)
class DartsSpace(SearchSpace):
    """Normal and reduction cells with two input nodes; each intermediate node keeps two of its incoming edges.

    >>> DartsSpace(nodes=2).edges("normal")
    ((0, 2), (1, 2), (0, 3), (1, 3), (2, 3))

    Source: Liu, Simonyan, Yang, DARTS (ICLR 2019).
    """

    name: ClassVar[str] = "darts"
    told_by_cells: ClassVar[frozenset[str]] = frozenset({"nodes"})

    nodes: int = 4
    primitives: tuple[str, ...] = DARTS_PRIMITIVES

    @classmethod
    def of_cells(cls, genotype: Genotype) -> Self:
        """The usual operations and as many nodes as the cells have; for other cells a free space with their operations.

        Raises:
            GenotypeError: an operation is unknown.
        """
        nodes = max((len(cell.nodes) for cell in genotype.cells.values()), default=0) or cls.nodes
        usual = cls(nodes=nodes)
        try:
            usual.check(genotype)
            return usual
        except GenotypeError:
            used = {operation for cell in genotype.cells.values() for node in cell.nodes for operation, _ in node}
            others = [name for name in OPERATIONS if name in used and name not in cls.primitives]
            normal = tuple(name for name in genotype.cells if name != REDUCTION)
            return cls(
                nodes=nodes,
                primitives=(*cls.primitives, *others),
                normal_cells=normal if len(normal) == 3 else cls.normal_cells,
                free=True,
            )
