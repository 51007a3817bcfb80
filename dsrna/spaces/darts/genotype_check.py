"""What makes a genotype one of the DARTS space."""

from __future__ import annotations

from collections.abc import Sequence

from dsrna.errors import GenotypeError
from dsrna.spaces.genotype import CellGenotype, Genotype, Node
from dsrna.spaces.names import unknown_name

OPERATIONS_PER_NODE = 2
_INPUTS = 2


def check_genotype(
    genotype: Genotype, space: str, cell_types: Sequence[str], nodes: int, primitives: Sequence[str]
) -> None:
    """Accepts genotypes whose every node adds up two operations other than none, on two different earlier nodes.

    Places in messages count nodes and operations from 1.

    Args:
        genotype: what to check.
        space: name of the space.
        cell_types: the cell types that must be there, no others.
        nodes: number of intermediate nodes.
        primitives: the space's operations.

    Raises:
        GenotypeError: it breaks a rule; the message names the place.
    """
    if genotype.space != space:
        raise GenotypeError(f"space: expected a genotype of the space {space!r}, got one of {genotype.space!r}")
    for cell_type in cell_types:
        if cell_type not in genotype.cells:
            raise GenotypeError(
                f"{cell_type}: this cell is missing; expected {', '.join(cell_types)}, "
                f"got {', '.join(genotype.cells) or 'no cell'}"
            )
    for cell_type, cell in genotype.cells.items():
        if cell_type not in cell_types:
            raise GenotypeError(unknown_name("cell type", cell_type, cell_types))
        _check_cell(cell, cell_type, nodes, [name for name in primitives if name != "none"])


def _check_cell(cell: CellGenotype, place: str, nodes: int, choices: Sequence[str]) -> None:
    if len(cell.nodes) != nodes:
        raise GenotypeError(f"{place}: expected {nodes} nodes, got {len(cell.nodes)}")
    for number, node in enumerate(cell.nodes, start=1):
        _check_node(node, f"{place}, node {number}", number + _INPUTS - 1, choices)
    if not cell.concat:
        raise GenotypeError(f"{place}, concat: expected at least one node, got none")
    for index in cell.concat:
        if not _INPUTS <= index < _INPUTS + nodes:
            raise GenotypeError(
                f"{place}, concat: expected intermediate nodes, {_INPUTS} to {_INPUTS + nodes - 1}, got {index}"
            )
    if len(set(cell.concat)) != len(cell.concat):
        raise GenotypeError(f"{place}, concat: expected every node at most once, got {list(cell.concat)}")


def _check_node(node: Node, place: str, index: int, choices: Sequence[str]) -> None:
    if len(node) != OPERATIONS_PER_NODE:
        raise GenotypeError(f"{place}: expected {OPERATIONS_PER_NODE} operations, got {len(node)}")
    for number, (operation, source) in enumerate(node, start=1):
        here = f"{place}, operation {number}"
        if operation == "none":
            raise GenotypeError(
                f"{here}: 'none' is no operation of a derived network; choose from {', '.join(choices)}"
            )
        if operation not in choices:
            raise GenotypeError(f"{here}: {unknown_name('operation', operation, choices)}")
        if not 0 <= source < index:
            raise GenotypeError(f"{here}: expected an earlier node as input, 0 to {index - 1}, got {source}")
    sources = [source for _, source in node]
    if len(set(sources)) != len(sources):
        raise GenotypeError(f"{place}: expected operations on different inputs, got input {sources[0]} twice")
