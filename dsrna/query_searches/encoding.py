"""Architectures of the search spaces as genes."""

from __future__ import annotations

from itertools import combinations

from dsrna.errors import UnsupportedError
from dsrna.query_searches.base import Genes, GeneSpace
from dsrna.spaces.darts.genotype_check import OPERATIONS_PER_NODE
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.genotype import CellGenotype, Genotype, Node
from dsrna.spaces.nasbench201.architecture_string import string_of
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.spaces.nasbench201.topology import EDGES
from dsrna.spaces.search_space import SearchSpace


def gene_space(space: SearchSpace) -> GeneSpace:
    """Genes that stand for every architecture of a space exactly once, but for the order of a node's operations.

    nasbench201: the operation on each edge, in the order of primitives and edges. darts: for every node of every cell,
    which two of the earlier nodes it takes, then the operation on each; every node goes into the cell's output.

    Raises:
        UnsupportedError: another space.

    >>> gene_space(DartsSpace(nodes=2)).choices
    (1, 7, 7, 3, 7, 7, 1, 7, 7, 3, 7, 7)
    """
    if isinstance(space, Nasbench201Space):
        return GeneSpace((len(space.primitives),) * len(EDGES))
    if isinstance(space, DartsSpace):
        operations = len(space.choices)
        cell = [count for node in range(space.nodes) for count in (len(_pairs(node)), operations, operations)]
        return GeneSpace(tuple(cell) * len(space.cell_types))
    raise UnsupportedError(f"Expected the space nasbench201 or darts for a search by queries, got {space.name}.")


def genotype_of(genes: Genes, space: SearchSpace) -> Genotype:
    """The genotype that genes stand for, in canonical order.

    Raises:
        UnsupportedError: another space than :func:`gene_space` knows.
    """
    if isinstance(space, Nasbench201Space):
        return space.genotype(string_of([space.primitives[position] for position in genes]))
    if isinstance(space, DartsSpace):
        remaining = iter(genes)
        cells = {}
        for cell_type in space.cell_types:
            nodes = tuple(
                _darts_node(node, next(remaining), next(remaining), next(remaining), space)
                for node in range(space.nodes)
            )
            cells[cell_type] = CellGenotype(nodes, tuple(range(2, 2 + space.nodes)))
        return Genotype(space.name, cells)
    raise UnsupportedError(f"Expected the space nasbench201 or darts for a search by queries, got {space.name}.")


def _darts_node(node: int, pair: int, first: int, second: int, space: DartsSpace) -> Node:
    names, (one, other) = space.choices, _pairs(node)[pair]
    return ((names[first], one), (names[second], other))


def _pairs(node: int) -> list[tuple[int, ...]]:
    """The choices of a node's inputs; before node 0 there are the cell's two."""
    return list(combinations(range(2 + node), OPERATIONS_PER_NODE))
