"""What makes a genotype one of a space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dsrna.errors import GenotypeError
from dsrna.nn.cell_topology import CellTopology
from dsrna.spaces.genotype import CellGenotype, Genotype, Node
from dsrna.spaces.names import unknown_name


def check_genotype(genotype: Genotype, space: str, topologies: Mapping[str, CellTopology]) -> None:
    """Accepts genotypes whose every cell is what its topology says.

    Every node adds up operations on as many different inputs as are kept, over edges of the topology; a free one any
    number of operations on earlier nodes. Places in messages count nodes and operations from 1.

    Args:
        genotype: what to check.
        space: name of the space.
        topologies: cell type -> its topology; these cell types must be there, no others.

    Raises:
        GenotypeError: it breaks a rule; the message names the place.
    """
    if genotype.space != space:
        raise GenotypeError(f"space: expected a genotype of the space {space!r}, got one of {genotype.space!r}")
    for cell_type in topologies:
        if cell_type not in genotype.cells:
            raise GenotypeError(
                f"{cell_type}: this cell is missing; expected {', '.join(topologies)}, "
                f"got {', '.join(genotype.cells) or 'no cell'}"
            )
    for cell_type, cell in genotype.cells.items():
        if cell_type not in topologies:
            raise GenotypeError(unknown_name("cell type", cell_type, topologies))
        _check_cell(cell, cell_type, topologies[cell_type])


def _check_cell(cell: CellGenotype, place: str, topology: CellTopology) -> None:
    first, count = topology.inputs, len(cell.nodes)
    if count != topology.nodes and not (topology.free and count):
        raise GenotypeError(f"{place}: expected {topology.nodes} nodes, got {count}")
    for number, node in enumerate(cell.nodes):
        here = f"{place}, node {number + 1}"
        if topology.free:
            _check_free(node, here, first + number, topology.primitives)
        else:
            _check_node(node, here, first + number, topology)
    _check_concat(cell.concat, f"{place}, concat", range(first, first + count), topology)


def _check_concat(concat: Sequence[int], place: str, nodes: range, topology: CellTopology) -> None:
    if topology.output == "last" and tuple(concat) != (nodes[-1],):
        raise GenotypeError(f"{place}: expected the last node alone, [{nodes[-1]}], got {list(concat)}")
    if not concat:
        raise GenotypeError(f"{place}: expected at least one node, got none")
    for index in concat:
        if index not in nodes:
            raise GenotypeError(f"{place}: expected intermediate nodes, {nodes[0]} to {nodes[-1]}, got {index}")
    if len(set(concat)) != len(concat) and not topology.free:
        raise GenotypeError(f"{place}: expected every node at most once, got {list(concat)}")


def _check_node(node: Node, place: str, index: int, topology: CellTopology) -> None:
    entering = {topology.ends[edge][0]: topology.operations[edge] for edge in topology.entering(index)}
    kept = len(entering) if topology.kept is None else min(topology.kept, len(entering))
    if topology.kept is not None and len(node) != kept:
        raise GenotypeError(f"{place}: expected {kept} operations, got {len(node)}")
    for number, (operation, source) in enumerate(node, start=1):
        here = f"{place}, operation {number}"
        _check_operation(operation, here, topology.choices)
        if topology.kept is not None and not 0 <= source < index:
            raise GenotypeError(f"{here}: expected an earlier node as input, 0 to {index - 1}, got {source}")
        if source in entering and operation not in entering[source]:
            allowed = [name for name in entering[source] if name in topology.choices]
            raise GenotypeError(f"{here}: expected one of {', '.join(allowed)} on input {source}, got {operation!r}")
    sources = sorted(source for _, source in node)
    if topology.kept is None and sources != sorted(entering):
        raise GenotypeError(
            f"{place}: expected one operation on each of the inputs {sorted(entering)}, got inputs {sources}"
        )
    if len(set(sources)) != len(sources):
        twice = next(source for source in sources if sources.count(source) > 1)
        raise GenotypeError(f"{place}: expected operations on different inputs, got input {twice} twice")
    for source in sources:
        if source not in entering:
            raise GenotypeError(f"{place}: expected inputs among {sorted(entering)}, got {source}")


def _check_free(node: Node, place: str, index: int, primitives: Sequence[str]) -> None:
    if not node:
        raise GenotypeError(f"{place}: expected at least one operation, got none")
    for number, (operation, source) in enumerate(node, start=1):
        here = f"{place}, operation {number}"
        _check_operation(operation, here, primitives)
        if not 0 <= source < index:
            raise GenotypeError(f"{here}: expected an earlier node as input, 0 to {index - 1}, got {source}")


def _check_operation(operation: str, place: str, choices: Sequence[str]) -> None:
    if operation == "none" and "none" not in choices:
        raise GenotypeError(f"{place}: 'none' is no operation of a derived network; choose from {', '.join(choices)}")
    if operation not in choices:
        raise GenotypeError(f"{place}: {unknown_name('operation', operation, choices)}")
