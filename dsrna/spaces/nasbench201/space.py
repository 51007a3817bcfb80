"""The NAS-Bench-201 search space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from dsrna.spaces.derived_network import DerivedNetwork
from dsrna.spaces.genotype import CellGenotype, Genotype
from dsrna.spaces.nasbench201.architecture_string import architecture_string, operations_of
from dsrna.spaces.nasbench201.index import index_of, string_at
from dsrna.spaces.nasbench201.topology import CELL_TYPE, EDGES, NODES, PRIMITIVES
from dsrna.spaces.search_space import SearchSpace


@dataclass(frozen=True, init=False)
class Nasbench201Space(SearchSpace):
    """One cell type with one operation, of five, on each of six edges: 15,625 architectures, all tabulated.

    A genotype's node j has one (operation, i) for every earlier node i; node 0 is the cell's input, node 3 its output.

    >>> space = Nasbench201Space()
    >>> space.index(space.genotype(50))
    50

    Source: Dong and Yang, NAS-Bench-201 (ICLR 2020), section 2.1.
    """

    name: ClassVar[str] = "nasbench201"

    def __init__(self) -> None:
        # A space of other operations would have no published indices and tables, so there are no settings.
        super().__init__(NODES, PRIMITIVES, inputs=1, kept=None, output="last", skeleton="staged")

    @property
    def settings(self) -> dict[str, Any]:
        """See :class:`SearchSpace`; there are none."""
        return {}

    @classmethod
    def of_cells(cls, genotype: Genotype) -> Self:
        """See :meth:`dsrna.spaces.search_space.SearchSpace.of_cells`; there is one size alone."""
        return cls()

    def network(self, genotype: Genotype, *arguments: Any, **sizes: Any) -> DerivedNetwork:
        """See :class:`SearchSpace`; the order in which a genotype lists a node's operations makes no other network."""
        return super().network(genotype.canonical(), *arguments, **sizes)

    def genotype(self, architecture: int | str) -> Genotype:
        """The genotype of a published index or of an architecture string.

        Raises:
            GenotypeError: there is no such architecture.
        """
        operations = operations_of(architecture if isinstance(architecture, str) else string_at(architecture))
        named = list(zip(operations, EDGES, strict=True))
        nodes = tuple(
            tuple((name, source) for name, (source, end) in named if end == target) for target in range(1, NODES + 1)
        )
        return self.genotype_of({CELL_TYPE: CellGenotype(nodes, (NODES,))})

    def index(self, genotype: Genotype) -> int:
        """The published index of a genotype.

        Raises:
            GenotypeError: it isn't one of this space.
        """
        self.check(genotype)
        return index_of(architecture_string(genotype))
