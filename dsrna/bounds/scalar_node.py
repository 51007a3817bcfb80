"""Functions of single numbers in a backward substitution."""

from __future__ import annotations

from torch import Tensor

from dsrna.bounds.interval import Interval
from dsrna.bounds.scalar_function import ScalarFunction
from dsrna.bounds.substitution import Node, Substituted, dot


class ScalarNode(Node):
    """A function of each entry between two lines."""

    def __init__(self, source: Node, interval: Interval, function: ScalarFunction) -> None:
        super().__init__(source.shape, (source,))
        self._lines = function.enclosure(interval.lower, interval.upper)

    def substitute(self, rows: Tensor) -> Substituted:
        lines = self._lines
        positive, negative = rows.clamp(min=0), rows.clamp(max=0)
        constant = dot(positive, lines.floor) + dot(negative, lines.ceiling)
        return Substituted((positive * lines.lower + negative * lines.upper,), constant)
