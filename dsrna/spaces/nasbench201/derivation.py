"""The likeliest architecture under operation weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dsrna.spaces.nasbench201.topology import EDGES, NODES, PRIMITIVES

_NONE = PRIMITIVES.index("none")


def likeliest(rows: Sequence[Sequence[float]]) -> tuple[str, ...]:
    """The operations, an edge each, whose weights have the largest product, among cells that look at their input.

    That is the operation of the largest weight on every edge, unless the output then depends on nothing: a network with
    such a cell gives every image the same logits, and searches whose score is high where the logits don't move do end
    there. Then the edges of one way from input to output take their best operation other than ``none``, on that way
    where this costs the product least. Weights of 0 are never taken, so one-hot weights come back as they are.

    Args:
        rows: (6, 5) weights >= 0. Ties go to the earlier primitive, and to the shorter way.
    """
    best = [_largest(row, range(len(row))) for row in rows]
    something = [_largest(row, [o for o in range(len(row)) if o != _NONE]) for row in rows]
    if any(all(best[edge] != _NONE for edge in way) for way in _WAYS):
        return tuple(PRIMITIVES[o] for o in best)

    def cost(way: list[int]) -> float:
        if any(rows[edge][something[edge]] <= 0 for edge in way):
            return math.inf
        return sum(math.log(rows[edge][best[edge]] / rows[edge][something[edge]]) for edge in way)

    way = min(_WAYS, key=cost)
    if cost(way) == math.inf:
        return tuple(PRIMITIVES[o] for o in best)
    return tuple(PRIMITIVES[something[edge] if edge in way else best[edge]] for edge in range(len(rows)))


def _largest(row: Sequence[float], among: Sequence[int]) -> int:
    return max(among, key=row.__getitem__)


def _ways(node: int) -> list[list[int]]:
    """Every way from node 0 to ``node``, as the edges on it."""
    if node == 0:
        return [[]]
    entering = [(edge, source) for edge, (source, target) in enumerate(EDGES) if target == node]
    return [[*way, edge] for edge, source in entering for way in _ways(source)]


_WAYS = sorted(_ways(NODES), key=len)
