"""The cell that operation weights stand for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

from dsrna.nn.cell_topology import CellTopology
from dsrna.spaces.genotype import CellGenotype, Node
from dsrna.types import CellWeights


def derived_cell(weights: CellWeights, topology: CellTopology) -> CellGenotype:
    """The best operations on the edges that a cell keeps.

    Where a node keeps some of its edges: those (i, j) with the largest b_(i,j) max_{o != none} w_(i,j),o, and on each
    the operation of that maximum. Where it keeps all: see :func:`likeliest`; edge weights change nothing then. Ties go
    to the lower input index and to the earlier primitive. Operations that an edge doesn't have are never taken.

    Args:
        weights: operation weights (E, O) >= 0, edge weights (E,) >= 0 or None for b = 1.
        topology: the cell's.

    Returns:
        A cell in canonical order.
    """
    rows = weights.operations.detach().double().cpu()
    scales = [1.0] * len(rows) if weights.edges is None else weights.edges.detach().to(rows).tolist()
    if topology.kept is None:
        chosen = likeliest(rows.tolist(), topology)
        nodes = [[(1.0, chosen[edge], topology.ends[edge][0]) for edge in edges] for edges in _entering(topology)]
        return CellGenotype(tuple(map(_by_input, nodes)), topology.outputs)
    derived = []
    for edges in _entering(topology):
        candidates = []
        for edge in edges:
            row = rows[edge].tolist()
            column = _largest(row, _columns(topology, edge, none=False))
            candidates.append((scales[edge] * row[column], topology.primitives[column], topology.ends[edge][0]))
        derived.append(_by_input(sorted(candidates, key=lambda candidate: -candidate[0])[: topology.kept]))
    return CellGenotype(tuple(derived), topology.outputs)


def likeliest(rows: Sequence[Sequence[float]], topology: CellTopology) -> tuple[str, ...]:
    """The operations, an edge each, whose weights have the largest product, among cells that look at their input.

    That is the operation of the largest weight on every edge, unless the output then depends on nothing: a network with
    such a cell gives every image the same logits, and searches whose score is high where the logits don't move do end
    there. Then the edges of one path from input to output take their best operation other than ``none``, on that path
    where this costs the product least. Weights of 0 are never taken, so one-hot weights come back as they are. Differs
    from NAS-Bench-201's authors, who derive cells without any path from input to output too.

    Args:
        rows: (E, O) weights >= 0. Ties go to the earlier primitive, and to the shorter path.
        topology: the cell's.
    """
    edges, names = range(len(rows)), topology.primitives
    best = [_largest(rows[edge], _columns(topology, edge, none=True)) for edge in edges]
    something = [_largest(rows[edge], _columns(topology, edge, none=False)) for edge in edges]
    paths = _paths_out(topology)
    if any(all(names[best[edge]] != "none" for edge in path) for path in paths):
        return tuple(names[o] for o in best)

    def cost(path: list[int]) -> float:
        if any(rows[edge][something[edge]] <= 0 for edge in path):
            return math.inf
        return sum(math.log(rows[edge][best[edge]] / rows[edge][something[edge]]) for edge in path)

    path = min(paths, key=cost)
    if cost(path) == math.inf:
        return tuple(names[o] for o in best)
    return tuple(names[something[edge] if edge in path else best[edge]] for edge in edges)


def _by_input(kept: list[tuple[float, str, int]]) -> Node:
    return tuple((operation, source) for _, operation, source in sorted(kept, key=lambda candidate: candidate[2]))


def _entering(topology: CellTopology) -> list[list[int]]:
    return [topology.entering(node) for node in range(topology.inputs, topology.inputs + topology.nodes)]


def _columns(topology: CellTopology, edge: int, none: bool) -> list[int]:
    allowed = topology.operations[edge]
    return [o for o, name in enumerate(topology.primitives) if name in allowed and (none or name != "none")]


def _largest(row: Sequence[float], among: Sequence[int]) -> int:
    return max(among, key=row.__getitem__)


@cache
def _paths_out(topology: CellTopology) -> list[list[int]]:
    """Every path from an input to a node that is given out, as the edges on it, short ones first."""
    return sorted((path for node in topology.outputs for path in _paths(topology, node)), key=len)


def _paths(topology: CellTopology, node: int) -> list[list[int]]:
    if node < topology.inputs:
        return [[]]
    return [[*path, edge] for edge in topology.entering(node) for path in _paths(topology, topology.ends[edge][0])]
