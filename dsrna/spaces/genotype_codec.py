"""Genotypes as text: this project's JSON, and the notations in which papers publish them.

JSON, schema version 1::

    {"schema": "dsrna.genotype", "version": 1, "space": "darts",
     "cells": {"normal": {"nodes": [[["sep_conv_3x3", 1], ["sep_conv_3x3", 0]], …], "concat": [2, 3, 4, 5]}, …}}

Places in messages count nodes and operations from 1: "normal, node 1, operation 2".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dsrna.errors import GenotypeError
from dsrna.files import write_json
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.genotype import CellGenotype, Genotype, Node
from dsrna.spaces.nasbench201.architecture_string import read_architecture_string
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.spaces.published_notation import read_published_notation
from dsrna.spaces.registry import space_of
from dsrna.spaces.search_space import SearchSpace

SCHEMA = "dsrna.genotype"
VERSION = 1
_LONGEST_TEXT = 100_000


def to_json(genotype: Genotype) -> dict[str, Any]:
    """The genotype as a value that ``json.dumps`` takes."""
    cells = {
        cell_type: {
            "nodes": [[[operation, source] for operation, source in node] for node in cell.nodes],
            "concat": list(cell.concat),
        }
        for cell_type, cell in genotype.cells.items()
    }
    return {"schema": SCHEMA, "version": VERSION, "space": genotype.space, "cells": cells}


def from_json(value: Any, space: SearchSpace | None = None) -> Genotype:
    """The genotype that :func:`to_json` wrote.

    Args:
        value: what ``json.loads`` gave.
        space: the space to check against; None takes the space that the genotype names, with its usual operations and
            as many nodes as the genotype has.

    Raises:
        GenotypeError: another schema or version, a wrong type somewhere, or no architecture of the space.
    """
    entries = _mapping(value, "the genotype")
    if entries.get("schema") != SCHEMA:
        raise GenotypeError(f"schema: expected {SCHEMA!r}, got {entries.get('schema')!r}; is this a genotype file?")
    if entries.get("version") != VERSION:
        raise GenotypeError(
            f"version: expected {VERSION}, got {entries.get('version')!r}; this dsrna can't read files of that version."
        )
    name = entries.get("space")
    if not isinstance(name, str):
        raise GenotypeError(f"space: expected the name of a search space, got {name!r}")
    return _checked(name, entries.get("cells"), space)


def parse(text: str, space: SearchSpace | None = None) -> Genotype:
    """Reads a genotype from text: JSON, or a notation in which a space's architectures are published.

    These are ``Genotype(normal=[…], normal_concat=…, …)`` of DARTS and ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`` of
    NAS-Bench-201. Nothing in the text is ever executed.

    Args:
        text: the text; what starts with ``{`` is read as JSON, what starts with ``|`` as an architecture string.
        space: see :func:`from_json`.

    Raises:
        GenotypeError: the text is malformed or truncated, or describes no architecture of the space.
    """
    if len(text) > _LONGEST_TEXT:
        raise GenotypeError(f"Expected a genotype, got a text of {len(text)} characters.")
    if text.lstrip().startswith("|"):
        return _checked(Nasbench201Space.name, read_architecture_string(text), space)
    if not text.lstrip().startswith("{"):
        return _checked(DartsSpace.name, read_published_notation(text), space)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GenotypeError(f"Expected JSON, got text that isn't ({error}); is the file truncated?") from error
    return from_json(value, space)


def save(genotype: Genotype, path: Path) -> None:
    """Writes a genotype as JSON, atomically."""
    write_json(path, to_json(genotype))


def load(path: Path, space: SearchSpace | None = None) -> Genotype:
    """Reads a genotype from a file of either form.

    Args:
        path: a JSON file or a text file in a published notation.
        space: see :func:`from_json`.

    Raises:
        GenotypeError: the file is missing, unreadable, no ordinary one or no text, or as in :func:`parse`; the message
            names the file.
    """
    if path.exists() and not path.is_file():
        raise GenotypeError(f"Expected a genotype file, got {path}, which is none that can be read to its end.")
    try:
        return parse(path.read_text(encoding="utf-8"), space)
    except UnicodeDecodeError as error:
        raise GenotypeError(
            f"Expected a genotype in {path}, got bytes that are no text (UTF-8). Give the genotype.json of a run, or "
            "a text file with a published notation."
        ) from error
    except OSError as error:
        raise GenotypeError(f"Expected a genotype file at {path}, but can't read it: {error}") from error
    except GenotypeError as error:
        raise GenotypeError(f"{path}: {error}") from error


def _checked(name: str, cells: Any, space: SearchSpace | None) -> Genotype:
    entries = _mapping(cells, "cells")
    genotype = Genotype(name, {cell_type: _cell(entry, cell_type) for cell_type, entry in entries.items()})
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
