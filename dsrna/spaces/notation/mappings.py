"""``{'normal': [(('sep_conv_3x3', 1, 0.2), …), …], 'normal_concat': [2, 3, 4, 5], …}``, in Python's or JSON's syntax.

As GDAS and AutoDL-Projects log it, and as a released namedtuple's ``_asdict()`` comes out of ``json.dumps``; also in a
larger mapping that names several.
"""

from __future__ import annotations

import ast
import re
from functools import partial
from typing import Any

from dsrna.errors import GenotypeError
from dsrna.spaces.notation.cells import CONCAT, document_of
from dsrna.spaces.notation.entry import Entry, Lines, segments
from dsrna.spaces.notation.literals import expression, literal, shown
from dsrna.spaces.notation.source_text import bracketed, name_before

_MAPPING = re.compile(r"\{\s{0,100}[\"']\w{1,50}[\"']\s{0,20}:\s{0,20}[\[(]")


def entries(text: str) -> list[Entry]:
    """Every mapping in the text that has a key ending in ``_concat``."""
    lines = Lines(text)
    starts = [mapping.start() for mapping in _MAPPING.finditer(text)]
    return [
        Entry(name_before(text, start), lines.at(start), partial(_document, text, start, stop, lines.at(start)))
        for start, stop in segments(starts, len(text))
        if f"{CONCAT}'" in text[start:stop] or f'{CONCAT}"' in text[start:stop]
    ]


def _document(text: str, start: int, stop: int, line: int) -> dict[str, Any]:
    place = f"the genotype in line {line}"
    mapping = expression(bracketed(text, start, stop, place), line, place)
    if not isinstance(mapping, ast.Dict):
        raise GenotypeError(f"{place}: expected a mapping, got {shown(mapping)}")
    values: dict[str, Any] = {}
    for key, value in zip(mapping.keys, mapping.values, strict=True):
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
            raise GenotypeError(f"{place}: expected 'NAME': …, got {'**' if key is None else shown(key)}")
        values[key.value] = literal(value, key.value)
    return document_of(values)
