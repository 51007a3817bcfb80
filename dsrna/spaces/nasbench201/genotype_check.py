"""What makes a genotype one of the NAS-Bench-201 space."""

from __future__ import annotations

from dsrna.errors import GenotypeError
from dsrna.spaces.genotype import Genotype, Node
from dsrna.spaces.names import unknown_name
from dsrna.spaces.nasbench201.topology import CELL_TYPE, NODES, PRIMITIVES


def check_genotype(genotype: Genotype, space: str) -> None:
    """Accepts genotypes of one cell whose nodes 1, 2, 3 each have exactly one operation on every earlier node.

    Places in messages count nodes and operations from 1.

    Raises:
        GenotypeError: it breaks a rule; the message names the place.
    """
    if genotype.space != space:
        raise GenotypeError(f"space: expected a genotype of the space {space!r}, got one of {genotype.space!r}")
    if set(genotype.cells) != {CELL_TYPE}:
        raise GenotypeError(
            f"Expected one cell type, {CELL_TYPE!r}, got {', '.join(map(repr, genotype.cells)) or 'no cell'}"
        )
    cell = genotype.cells[CELL_TYPE]
    if len(cell.nodes) != NODES:
        raise GenotypeError(f"{CELL_TYPE}: expected {NODES} nodes, got {len(cell.nodes)}")
    for target, node in enumerate(cell.nodes, start=1):
        _check_node(node, target, f"{CELL_TYPE}, node {target}")
    if cell.concat != (NODES,):
        raise GenotypeError(f"{CELL_TYPE}, concat: expected the last node alone, [{NODES}], got {list(cell.concat)}")


def _check_node(node: Node, target: int, place: str) -> None:
    for number, (operation, _) in enumerate(node, start=1):
        if operation not in PRIMITIVES:
            raise GenotypeError(f"{place}, operation {number}: {unknown_name('operation', operation, PRIMITIVES)}")
    sources = sorted(source for _, source in node)
    if sources != list(range(target)):
        raise GenotypeError(
            f"{place}: expected one operation on each of the inputs {list(range(target))}, got inputs {sources}"
        )
