"""The cell of NAS-Bench-201: node 0 is its input, node 3 its output, and every node feeds every later one."""

from __future__ import annotations

CELL_TYPE = "cell"

PRIMITIVES = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""The five operations in their published order, on which indices rest."""

NODES = 3
"""Nodes after the input; the last one is the cell's output."""

EDGES = tuple((source, target) for target in range(1, NODES + 1) for source in range(target))
"""(source, target) of the six edges, by ascending target, then source."""
