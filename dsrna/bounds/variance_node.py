"""Variances in a backward substitution."""

from __future__ import annotations

from torch import Tensor

from dsrna.bounds.interval import Interval
from dsrna.bounds.standardisation import Standardisation
from dsrna.bounds.substitution import Node, Substituted, dot


class VarianceNode(Node):
    """The variance of values plus a constant: above its tangent at the box's centre, by no more than an excess.

    mean((x - m)^2) = 2 mean(c x) - mean(c^2) + e with the centre's deviations c, whose mean is 0, and the variance e of
    x - centre.
    """

    def __init__(self, source: Node, statistics: Standardisation, deviations: Interval) -> None:
        centre = statistics.centre
        self._count = statistics.count
        self._centre = centre
        self._base = centre.square().mean(dim=statistics.dims, keepdim=True) - statistics.smallest
        self._excess = statistics.excess(deviations)
        super().__init__(self._base.shape, (source,))

    def substitute(self, rows: Tensor) -> Substituted:
        constant = dot(rows.clamp(max=0), self._excess) - dot(rows, self._base)
        return Substituted((rows * (2 / self._count) * self._centre,), constant)
