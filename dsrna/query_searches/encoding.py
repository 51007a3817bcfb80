"""Architectures of a search space as genes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from dsrna.errors import UnsupportedError
from dsrna.nn.cell_topology import CellTopology
from dsrna.query_searches.base import Genes, GeneSpace
from dsrna.spaces.genotype import CellGenotype, Genotype, Node
from dsrna.spaces.search_space import SearchSpace


def gene_space(space: SearchSpace) -> GeneSpace:
    """Genes that stand for every architecture of a space exactly once, but for the order of a node's operations.

    Where a cell keeps all edges: the operation on each of them, in the order of edges and primitives. Else for every
    node of every cell which of its edges it keeps, then the operation on each. Cells give out what a supernet's do.

    Raises:
        UnsupportedError: nodes keep some of their edges, and these have different numbers of operations.

    >>> from dsrna.spaces.darts.space import DartsSpace
    >>> gene_space(DartsSpace(nodes=2)).choices
    (1, 7, 7, 3, 7, 7, 1, 7, 7, 3, 7, 7)
    """
    return GeneSpace(
        tuple(
            count
            for topology in space.topologies.values()
            for node in _nodes(topology)
            for count in _counts(topology, node)
        )
    )


def genotype_of(genes: Genes, space: SearchSpace) -> Genotype:
    """The genotype that genes stand for, in canonical order."""
    remaining = iter(genes)
    return space.genotype_of(
        {
            cell_type: CellGenotype(
                tuple(_node(topology, node, remaining) for node in _nodes(topology)), topology.outputs
            )
            for cell_type, topology in space.topologies.items()
        }
    )


def _counts(topology: CellTopology, node: int) -> list[int]:
    counts = [len(_choices(topology, edge)) for edge in topology.entering(node)]
    if topology.kept is None:
        return counts
    if len(set(counts)) > 1:
        raise UnsupportedError(
            f"A search by queries takes spaces whose edges into a node have equally many operations, got {counts}."
        )
    kept = _kept(topology, node)
    return [len(kept), *counts[: len(kept[0])]]


def _node(topology: CellTopology, node: int, genes: Iterator[int]) -> Node:
    edges = topology.entering(node) if topology.kept is None else _kept(topology, node)[next(genes)]
    return tuple((_choices(topology, edge)[next(genes)], topology.ends[edge][0]) for edge in edges)


def _kept(topology: CellTopology, node: int) -> list[tuple[int, ...]]:
    """The choices of the edges that a node keeps."""
    edges = topology.entering(node)
    return list(combinations(edges, min(topology.kept or len(edges), len(edges))))


def _choices(topology: CellTopology, edge: int) -> list[str]:
    return [name for name in topology.choices if name in topology.operations[edge]]


def _nodes(topology: CellTopology) -> range:
    return range(topology.inputs, topology.inputs + topology.nodes)
