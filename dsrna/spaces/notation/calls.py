"""``Genotype(normal=[('sep_conv_3x3', 1), …], normal_concat=range(2, 6), …)``, as DARTS and its relatives write it.

In a released file, a paper's listing or a log; see :func:`dsrna.spaces.notation.cells.document_of` for the forms of its
cells.
"""

from __future__ import annotations

import ast
import re
from functools import partial
from typing import Any

from dsrna.errors import GenotypeError
from dsrna.spaces.notation.cells import document_of
from dsrna.spaces.notation.entry import Entry, Lines, segments
from dsrna.spaces.notation.literals import expression, literal, shown
from dsrna.spaces.notation.source_text import bracketed, name_before

_CALL = re.compile(r"(?<!\w)Genotype\w{0,20}\s{0,20}\(")
_QUALIFIER = re.compile(r"(?:\w{1,50}\.){0,5}$")
_DEFINITION = re.compile(r"\b(?:class|def)\s+$")
_ALIAS = re.compile(r"^([A-Za-z_]\w*)[ \t]*=[ \t]*([A-Za-z_]\w*)[ \t]*;?[ \t\r]*$", re.MULTILINE)


def entries(text: str) -> list[Entry]:
    """Every ``Genotype(…)`` in the text, and every other name that is given to one (``DARTS = DARTS_V2``)."""
    lines = Lines(text)
    starts = [call.start() for call in _CALL.finditer(text) if not _is_defined(text, call.start())]
    found: list[Entry] = []
    for start, stop in segments(starts, len(text)):
        qualifier = _QUALIFIER.search(text, max(0, start - 100), start)
        name = name_before(text, start - len(qualifier[0]) if qualifier else start)
        line = lines.at(start)
        found.append(Entry(name, line, partial(_document, text, start, stop, line)))
    named = {entry.name: entry for entry in found if entry.name is not None}
    for alias in _ALIAS.finditer(text) if named else ():
        if alias[2] in named and alias[1] not in named:
            named[alias[1]] = Entry(alias[1], lines.at(alias.start()), named[alias[2]].read)
            found.append(named[alias[1]])
    return found


def _is_defined(text: str, position: int) -> bool:
    """Whether a class or function is defined there, not called."""
    return _DEFINITION.search(text, max(0, position - 20), position) is not None


def _document(text: str, start: int, stop: int, line: int) -> dict[str, Any]:
    place = f"Genotype(…) in line {line}"
    call = expression(bracketed(text, start, stop, place), line, place)
    if not isinstance(call, ast.Call) or call.args:
        raise GenotypeError(
            f"{place}: expected keyword arguments alone, normal=[…], normal_concat=[…], …, got "
            f"{shown(call.args[0] if isinstance(call, ast.Call) else call)}"
        )
    values: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise GenotypeError(f"{place}: expected NAME=…, got **{shown(keyword.value)}")
        values[keyword.arg] = literal(keyword.value, keyword.arg)
    return document_of(values)
