"""``022210``: one digit for each edge of a cell of NAS-Bench-201, in the order of its architecture string.

0 none, 1 skip_connect, 2 nor_conv_1x1, 3 nor_conv_3x3, 4 avg_pool_3x3, the published order of operations, as with
NAS-RobBench-201 and the isomorphism classes. Six digits written together are always these: a published index has
five at most, and NASLib's indices are written apart (:mod:`~dsrna.spaces.notation.naslib_indices`).
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from dsrna.errors import GenotypeError
from dsrna.spaces.genotype_codec import to_json
from dsrna.spaces.nasbench201.architecture_string import string_of
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.spaces.nasbench201.topology import PRIMITIVES
from dsrna.spaces.notation.entry import Entry

_DIGITS = re.compile(r"[0-9]{6}")


def entries(text: str) -> list[Entry]:
    """The one genotype of a text that is six digits and nothing else."""
    digits = text.strip()
    return [Entry(None, 1, partial(_document, digits))] if _DIGITS.fullmatch(digits) else []


def _document(digits: str) -> dict[str, Any]:
    for number, digit in enumerate(digits, start=1):
        if int(digit) >= len(PRIMITIVES):
            raise GenotypeError(
                f"operation {number}: expected a digit from 0 to {len(PRIMITIVES) - 1} ({', '.join(PRIMITIVES)}), got "
                f"{digit} in {digits}; if it is an index, leave out the zeros before it (0 to 15624)"
            )
    return to_json(Nasbench201Space().genotype(string_of([PRIMITIVES[int(digit)] for digit in digits])))
