"""``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`` of NAS-Bench-201, also as ``Structure(4 nodes with |…|)`` and in a log.

Outer bars and blanks may be missing or too many; operations may have NAS-Bench-101's names where those mean the same.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from dsrna.spaces.genotype_codec import to_json
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.spaces.notation.entry import Entry, Lines
from dsrna.spaces.notation.source_text import name_before

_NAME = r"[A-Za-z][\w-]{0,40}"
_OPERATION = rf"{_NAME}(?:[ \t]{{0,5}}~[ \t]{{0,5}}\d{{0,5}})?"
_BARS = r"[ \t]{0,5}[|+][ \t|+]{0,20}"
_FIRST = rf"(?:\|[ \t|]{{0,5}}{_OPERATION}|{_NAME}[ \t]{{0,5}}~[ \t]{{0,5}}\d{{1,5}})"
_STRING = re.compile(rf"{_FIRST}(?:{_BARS}{_OPERATION}){{0,30}}[ \t|+]{{0,20}}")
_EDGE = re.compile(r"~[ \t]{0,5}\d")
_OF_NASBENCH_101 = {"conv1x1-bn-relu": "nor_conv_1x1", "conv3x3-bn-relu": "nor_conv_3x3"}


def entries(text: str) -> list[Entry]:
    """Every architecture string in the text."""
    if "~" not in text:
        return []
    lines = Lines(text)
    return [
        Entry(name_before(text, string.start()), lines.at(string.start()), partial(_document, string[0]))
        for string in _STRING.finditer(text)
        if _EDGE.search(string[0])
    ]


def _document(string: str) -> dict[str, Any]:
    groups = [[_operation(entry) for entry in group.split("|") if entry.strip()] for group in string.strip().split("+")]
    plain = "+".join(f"|{'|'.join(group)}|" for group in groups)
    return to_json(Nasbench201Space().genotype(plain))


def _operation(entry: str) -> str:
    name, mark, source = (part.strip() for part in entry.partition("~"))
    return _OF_NASBENCH_101.get(name, name) + mark + source
