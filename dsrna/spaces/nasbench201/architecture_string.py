"""Architecture strings, ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``: the notation in which this space is published.

One group a node, from node 1 to the output, node 3; ``op~i`` is the operation on the edge from node i.
"""

from __future__ import annotations

from collections.abc import Sequence

from dsrna.errors import GenotypeError
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.names import unknown_name
from dsrna.spaces.nasbench201.topology import CELL_TYPE, EDGES, NODES, PRIMITIVES

_FORM = "+".join(f"|{'|'.join(f'op~{source}' for source in range(target))}|" for target in range(1, NODES + 1))


def operations_of(text: str) -> tuple[str, ...]:
    """The operations of an architecture string, in the order of :data:`~dsrna.spaces.nasbench201.topology.EDGES`.

    Places in messages count operations from 1.

    Raises:
        GenotypeError: the text isn't an architecture string; the message names the place.

    >>> operations_of("|none~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_3x3~2|")[2]
    'skip_connect'
    """
    groups = text.strip().split("+")
    if len(groups) != NODES:
        raise GenotypeError(f"Expected an architecture string {_FORM}, got {_shown(text)} with {len(groups)} groups.")
    operations: list[str] = []
    for target, group in enumerate(groups, start=1):
        entries = group.strip().split("|")
        if len(entries) != target + 2 or entries[0] or entries[-1]:
            raise GenotypeError(
                f"node {target}: expected {target} operations between bars, got {_shown(group)}; the form is {_FORM}"
            )
        operations += [
            _operation(entry, source, f"node {target}, operation {source + 1}")
            for source, entry in enumerate(entries[1:-1])
        ]
    return tuple(operations)


def string_of(operations: Sequence[str]) -> str:
    """The architecture string of six operations in the order of the edges."""
    groups = [
        "".join(f"|{name}~{source}" for name, (source, end) in zip(operations, EDGES, strict=True) if end == target)
        for target in range(1, NODES + 1)
    ]
    return "+".join(group + "|" for group in groups)


def architecture_string(genotype: Genotype) -> str:
    """The architecture string of a checked genotype of this space."""
    nodes = genotype.canonical().cells[CELL_TYPE].nodes
    return string_of([name for node in nodes for name, _ in node])


def _operation(entry: str, source: int, place: str) -> str:
    name, _, index = entry.partition("~")
    if name not in PRIMITIVES:
        raise GenotypeError(f"{place}: {unknown_name('operation', name, PRIMITIVES)}")
    if index != str(source):
        raise GenotypeError(f"{place}: expected {name}~{source}, got {_shown(entry)}")
    return name


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:79] + "…")
