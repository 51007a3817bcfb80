"""This project's JSON, see :mod:`dsrna.spaces.genotype_codec`."""

from __future__ import annotations

import re
from functools import partial

from dsrna.spaces.genotype_codec import read_json
from dsrna.spaces.notation.entry import Entry

_START = re.compile(r"\s*\{")


def entries(text: str) -> list[Entry]:
    """The one genotype of a text that begins as a JSON object; others of that form come before this one."""
    return [Entry(None, 1, partial(read_json, text))] if _START.match(text) else []
