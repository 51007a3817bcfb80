"""``(4, 0, 3, 1, 4, 3)``: the operation indices by which NASLib and its tables of zero-cost proxies name cells of
NAS-Bench-201.

Unlike :mod:`~dsrna.spaces.notation.robbench_digits` they have NASLib's order of operations, begin with all edges out
of the input node, and are written apart: six numbers with commas or blanks between them are read as these.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from dsrna.errors import GenotypeError
from dsrna.spaces.genotype_codec import to_json
from dsrna.spaces.nasbench201.architecture_string import string_of
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.spaces.nasbench201.topology import EDGES
from dsrna.spaces.notation.entry import Entry

_OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
_EDGES = sorted(EDGES)
"""(source, target), by ascending source."""

_INDICES = re.compile(r"\s*[(\[]?\s*(\d{1,5}(?:\s*,\s*|\s+)){5}\d{1,5}\s*,?\s*[)\]]?\s*")


def entries(text: str) -> list[Entry]:
    """The one genotype of a text that is six indices and nothing else."""
    if not _INDICES.fullmatch(text):
        return []
    return [Entry(None, 1, partial(_document, [int(index) for index in re.findall(r"\d+", text)]))]


def _document(indices: list[int]) -> dict[str, Any]:
    for number, index in enumerate(indices, start=1):
        if index >= len(_OPERATIONS):
            raise GenotypeError(
                f"operation {number}: expected one of NASLib's indices, 0 to {len(_OPERATIONS) - 1} "
                f"({', '.join(_OPERATIONS)}), got {index}"
            )
    chosen = {edge: _OPERATIONS[index] for edge, index in zip(_EDGES, indices, strict=True)}
    return to_json(Nasbench201Space().genotype(string_of([chosen[edge] for edge in EDGES])))
