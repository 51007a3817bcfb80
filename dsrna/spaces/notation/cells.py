"""The cells of DARTS-like genotypes, from entries such as ``normal`` and ``normal_concat``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsrna.errors import GenotypeError
from dsrna.nn.operations import OPERATIONS
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.genotype_codec import document
from dsrna.spaces.skeletons.stacked import REDUCTION

CONCAT = "_concat"
_OPERATIONS_PER_NODE = 2
_INPUTS = 2
_MOST_NODES = 100
_ARNAS = {"normal_cells": ["accurate", "accurate", "robust"]}
"""Where ARNAS's two kinds of normal cells stand: before the first reduction, between both, after the second."""


def document_of(entries: Mapping[str, Any]) -> dict[str, Any]:
    """A genotype's document, see :mod:`dsrna.spaces.genotype_codec`.

    A cell's operations come in one of four forms:

    - one list of ``(operation, input)``, two for each node (DARTS);
    - a list for each node (DARTS-PT, AutoDL-Projects), of as many as it has;
    - either of these with a weight beside, ``(operation, input, 0.13)``, which says nothing about the architecture;
    - one list of ``(operation, node, input)`` in whole numbers (FairDARTS). As in its networks, nodes without any
      operation aren't there, nor is what starts from one: those after them move up, and the cell's output is without
      them.

    Entries that are no list of operations and have no ``_concat`` are no cells: ``normal_bottleneck=''``,
    ``connects=None``, ``source='original/darts'``.

    Args:
        entries: cell type -> its operations, cell type + ``_concat`` -> the nodes that make up its output; all values
            are literals.

    Raises:
        GenotypeError: operations can't be dealt out to nodes; the message names the cell. What else may be wrong is
            left for the codec to find.
    """
    kinds = [name for name in entries if not name.endswith(CONCAT)]
    cells = {
        kind: _cell(entries[kind], entries.get(kind + CONCAT), kind)
        for kind in kinds
        if (isinstance(entries[kind], list) and entries[kind]) or kind + CONCAT in entries
    }
    return document(DartsSpace.name, cells, _ARNAS if set(cells) == {*_ARNAS["normal_cells"], REDUCTION} else None)


def _cell(operations: Any, concat: Any, place: str) -> dict[str, Any]:
    if not isinstance(operations, list):
        return {"nodes": operations, "concat": concat}
    if operations and all(_is_edge(operation) for operation in operations):
        return _cell_of_edges(operations, concat, place)
    if all(isinstance(node, list) and all(isinstance(pair, list) for pair in node) for node in operations):
        return {"nodes": [[_pair(pair) for pair in node] for node in operations], "concat": concat}
    if len(operations) % _OPERATIONS_PER_NODE:
        raise GenotypeError(
            f"{place}: expected {_OPERATIONS_PER_NODE} operations for each node, got {len(operations)} operations"
        )
    pairs = [_pair(pair) for pair in operations]
    nodes = [pairs[i : i + _OPERATIONS_PER_NODE] for i in range(0, len(pairs), _OPERATIONS_PER_NODE)]
    return {"nodes": nodes, "concat": concat}


def _pair(value: Any) -> Any:
    """``[operation, input]`` without a weight; what has another form is left for the codec to refuse."""
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        return value
    weighted = len(value) == 3 and type(value[2]) in (int, float)
    return [_known(value[0]), *(value[1:2] if weighted else value[1:])]


def _is_edge(value: Any) -> bool:
    return isinstance(value, list) and [type(part) for part in value] == [str, int, int]


def _cell_of_edges(edges: list[list[Any]], concat: Any, place: str) -> dict[str, Any]:
    for number, (operation, node, source) in enumerate(edges, start=1):
        if not 0 <= source < node or not _INPUTS <= node < _INPUTS + _MOST_NODES:
            raise GenotypeError(
                f"{place}, operation {number}: expected (operation, node, input) with a node from {_INPUTS} and an "
                f"earlier input, got {(operation, node, source)!r}"
            )
    present = {node for _, node, _ in edges}
    while absent := {source for _, _, source in edges if source >= _INPUTS} - present:
        edges = [edge for edge in edges if edge[2] not in absent]
        present = {node for _, node, _ in edges}
    positions = {node: position for position, node in enumerate([*range(_INPUTS), *sorted(present)])}
    nodes: list[list[Any]] = [[] for _ in present]
    for operation, node, source in edges:
        nodes[positions[node] - _INPUTS].append([_known(operation), positions[source]])
    if isinstance(concat, list):
        gone = set(range(_INPUTS, _INPUTS + _MOST_NODES)) - present
        whole = [index for index in concat if type(index) is not int or index not in gone]
        concat = [positions.get(index, index) if type(index) is int else index for index in whole]
    return {"nodes": nodes, "concat": concat}


def _known(operation: str) -> str:
    """The operation's name in this project's spelling, where it differs in upper and lower case alone."""
    if operation in OPERATIONS:
        return operation
    return next((name for name in OPERATIONS if name.lower() == operation.lower()), operation)
