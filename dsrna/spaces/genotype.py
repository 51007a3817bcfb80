"""Genotypes: which operations a derived network keeps, as a plain value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

Node = tuple[tuple[str, int], ...]
"""The (operation name, input index) pairs whose outputs a node adds up."""


@dataclass(frozen=True)
class CellGenotype:
    """One cell type.

    Attributes:
        nodes: the intermediate nodes in order; input indices count the cell's input nodes first, then these.
        concat: indices of the nodes that make up the cell's output, counted in the same way.
    """

    nodes: tuple[Node, ...]
    concat: tuple[int, ...]


@dataclass(frozen=True)
class Genotype:
    """A derived architecture. Only its space's ``check`` says whether it is one that the space contains.

    Attributes:
        space: name of the search space.
        cells: cell type -> its genotype.
        topology: settings of the space, of plain types, where the cells alone don't tell them; see
            :func:`~dsrna.spaces.registry.space_of`.
    """

    space: str
    cells: dict[str, CellGenotype]
    topology: Mapping[str, Any] | None = None

    def __hash__(self) -> int:
        return hash((self.space, frozenset(self.cells.items())))

    def canonical(self) -> Genotype:
        """The same architecture with the operations of each node ordered by input index, then by name.

        A node adds up its operations, so their order says nothing; published genotypes come in various orders.
        """
        cells = {
            cell_type: CellGenotype(
                tuple(tuple(sorted(node, key=lambda pair: (pair[1], pair[0]))) for node in cell.nodes), cell.concat
            )
            for cell_type, cell in self.cells.items()
        }
        return replace(self, cells=cells)
