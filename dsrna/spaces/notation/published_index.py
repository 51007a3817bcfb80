"""``13433``: the index of a cell in NAS-Bench-201's published order, up to five digits."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from dsrna.spaces.genotype_codec import to_json
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.spaces.notation.entry import Entry

_INDEX = re.compile(r"[0-9]{1,5}")


def entries(text: str) -> list[Entry]:
    """The one genotype of a text that is a whole number of up to five digits and nothing else."""
    index = text.strip()
    return [Entry(None, 1, partial(_document, int(index)))] if _INDEX.fullmatch(index) else []


def _document(index: int) -> dict[str, Any]:
    return to_json(Nasbench201Space().genotype(index))
