"""A genotype in the notation in which papers publish its like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsrna.spaces.nasbench201.architecture_string import string_of
from dsrna.spaces.nasbench201.topology import CELL_TYPE, EDGES, NODES, PRIMITIVES

_OPERATIONS_PER_NODE = 2


def published_text(document: Mapping[str, Any]) -> str:
    """``Genotype(normal=[('skip_connect', 0), …], …)``, or the architecture string of a cell of NAS-Bench-201.

    Cells with nodes of other than two operations get a list for each node.

    Args:
        document: a genotype's JSON form, see :mod:`dsrna.spaces.genotype_codec`.
    """
    cells = document["cells"]
    if of_nasbench201 := _operations_of_nasbench201(cells):
        return string_of(of_nasbench201)
    entries = []
    for cell_type, cell in cells.items():
        nodes = [[(operation, source) for operation, source in node] for node in cell["nodes"]]
        flat = all(len(node) == _OPERATIONS_PER_NODE for node in nodes)
        operations: list[Any] = [pair for node in nodes for pair in node] if flat else nodes
        entries += [f"{cell_type}={operations}", f"{cell_type}_concat={cell['concat']}"]
    return "Genotype(" + ", ".join(entries) + ")"


def _operations_of_nasbench201(cells: Mapping[str, Any]) -> list[str] | None:
    """The operations of a cell of NAS-Bench-201 in the order of its edges; None for another genotype."""
    if list(cells) != [CELL_TYPE] or cells[CELL_TYPE]["concat"] != [NODES]:
        return None
    named = [
        (target, source, name)
        for target, node in enumerate(cells[CELL_TYPE]["nodes"], start=1)
        for name, source in node
        if name in PRIMITIVES
    ]
    fits = sorted((source, target) for target, source, _ in named) == sorted(EDGES)
    return [name for _, _, name in sorted(named)] if fits else None
