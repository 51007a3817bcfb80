"""Operation weights that pick out a cell."""

from __future__ import annotations

import torch

from dsrna.nn.cell_topology import CellTopology
from dsrna.spaces.genotype import CellGenotype
from dsrna.types import CellWeights


def one_hot_cell(cell: CellGenotype, topology: CellTopology) -> CellWeights:
    """Weights (E, O) that say how often each operation stands on each edge; an edge without one is on none."""
    weights = torch.zeros(len(topology.ends), len(topology.primitives))
    for target, node in enumerate(cell.nodes, start=topology.inputs):
        for operation, source in node:
            weights[topology.ends.index((source, target)), topology.primitives.index(operation)] += 1
    if "none" in topology.primitives:
        weights[weights.sum(dim=1) == 0, topology.primitives.index("none")] = 1
    return CellWeights(weights)
