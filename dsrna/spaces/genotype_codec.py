"""Genotypes as JSON; for the notations in which papers publish them see :mod:`dsrna.spaces.notation`.

Schema version 1::

    {"schema": "dsrna.genotype", "version": 1, "space": "darts",
     "cells": {"normal": {"nodes": [[["sep_conv_3x3", 1], ["sep_conv_3x3", 0]], …], "concat": [2, 3, 4, 5]}, …}}

Version 2 has the space's settings besides, as ``"topology": {"nodes": 5, "primitives": […]}``; it is written where the
cells alone don't tell them.

Places in messages count nodes and operations from 1: "normal, node 1, operation 2".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dsrna.errors import GenotypeError
from dsrna.files import write_json
from dsrna.spaces.genotype import CellGenotype, Genotype, Node
from dsrna.spaces.registry import space_of
from dsrna.spaces.search_space import SearchSpace

SCHEMA = "dsrna.genotype"
VERSIONS = (1, 2)
LONGEST_TEXT = 2_000_000
"""Characters of a text that may hold a genotype; the log of a search has fewer."""


def to_json(genotype: Genotype) -> dict[str, Any]:
    """The genotype as a value that ``json.dumps`` takes."""
    cells = {
        cell_type: {
            "nodes": [[[operation, source] for operation, source in node] for node in cell.nodes],
            "concat": list(cell.concat),
        }
        for cell_type, cell in genotype.cells.items()
    }
    return document(genotype.space, cells, None if genotype.topology is None else dict(genotype.topology))


def from_json(value: Any, space: SearchSpace | None = None) -> Genotype:
    """The genotype that :func:`to_json` wrote.

    Args:
        value: what ``json.loads`` gave.
        space: the space to check against; None takes the genotype's own.

    Raises:
        GenotypeError: another schema or version, a wrong type somewhere, or no architecture of the space.
    """
    entries = _mapping(value, "the genotype")
    if entries.get("schema") != SCHEMA:
        raise GenotypeError(f"schema: expected {SCHEMA!r}, got {entries.get('schema')!r}; is this a genotype file?")
    version = entries.get("version")
    if isinstance(version, bool) or version not in VERSIONS:
        raise GenotypeError(
            f"version: expected {' or '.join(map(str, VERSIONS))}, got {version!r}; this dsrna can't read files of "
            "that version."
        )
    name = entries.get("space")
    if not isinstance(name, str):
        raise GenotypeError(f"space: expected the name of a search space, got {name!r}")
    topology = _mapping(entries.get("topology"), "topology") if version == 2 else None
    return _checked(name, entries.get("cells"), space, topology)


def document(space: str, cells: Any, topology: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON form of a genotype: its space's name, its cells, the space's settings where those don't tell them.

    :func:`from_json` checks all.
    """
    if topology is None:
        return {"schema": SCHEMA, "version": 1, "space": space, "cells": cells}
    return {"schema": SCHEMA, "version": 2, "space": space, "topology": topology, "cells": cells}


def read_json(text: str) -> Any:
    """What a JSON text holds.

    Raises:
        GenotypeError: it is no JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GenotypeError(f"Expected JSON, got text that isn't ({error}); is the file truncated?") from error


def save(genotype: Genotype, path: Path) -> None:
    """Writes a genotype as JSON, atomically."""
    write_json(path, to_json(genotype))


def load(path: Path, space: SearchSpace | None = None) -> Genotype:
    """Reads a genotype that :func:`save` wrote.

    Args:
        path: a JSON file; :func:`dsrna.spaces.notation.reading.load` reads other notations too.
        space: see :func:`from_json`.

    Raises:
        GenotypeError: the file is missing, unreadable, no ordinary one or no JSON, or as in :func:`from_json`; the
            message names the file.
    """
    try:
        return from_json(read_json(read_text(path)), space)
    except GenotypeError as error:
        raise GenotypeError(f"{path}: {error}") from error


def read_text(path: Path) -> str:
    """The text of a file that should hold a genotype.

    Raises:
        GenotypeError: it is missing, unreadable, no ordinary file, too large, or no text.
    """
    if path.exists() and not path.is_file():
        raise GenotypeError("Expected a genotype file, got what is none that can be read to its end.")
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LONGEST_TEXT + 1)
    except UnicodeDecodeError as error:
        raise GenotypeError(
            "Expected a genotype, got bytes that are no text (UTF-8). Give the genotype.json of a run, or a text file "
            "with a published notation."
        ) from error
    except (OSError, ValueError) as error:  # a path with a null byte is no OSError
        raise GenotypeError(f"Expected a genotype file, but can't read it: {error}") from error
    if len(text) > LONGEST_TEXT:
        raise GenotypeError(f"Expected a genotype, got a text of more than {LONGEST_TEXT} characters.")
    return text


def _checked(name: str, cells: Any, space: SearchSpace | None, topology: dict[str, Any] | None = None) -> Genotype:
    entries = _mapping(cells, "cells")
    genotype = Genotype(name, {cell_type: _cell(entry, cell_type) for cell_type, entry in entries.items()}, topology)
    (space or space_of(genotype)).check(genotype)
    return genotype


def _cell(value: Any, place: str) -> CellGenotype:
    entries = _mapping(value, place)
    nodes = _list(entries.get("nodes"), f"{place}, nodes")
    concat = _list(entries.get("concat"), f"{place}, concat")
    return CellGenotype(
        tuple(_node(node, f"{place}, node {number}") for number, node in enumerate(nodes, start=1)),
        tuple(_index(entry, f"{place}, concat") for entry in concat),
    )


def _node(value: Any, place: str) -> Node:
    return tuple(
        _operation(pair, f"{place}, operation {number}") for number, pair in enumerate(_list(value, place), start=1)
    )


def _operation(value: Any, place: str) -> tuple[str, int]:
    pair = _list(value, place)
    if len(pair) != 2 or not isinstance(pair[0], str):
        raise GenotypeError(f"{place}: expected [operation name, input index], got {value!r}")
    return pair[0], _index(pair[1], place)


def _index(value: Any, place: str) -> int:
    if type(value) is not int:  # a bool is an int, but no index
        raise GenotypeError(f"{place}: expected a whole number as index, got {value!r}")
    return value


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise GenotypeError(f"{place}: expected a list, got {_shown(value)}")
    return value


def _mapping(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise GenotypeError(f"{place}: expected a mapping, got {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)[:80]
