"""Cells of NAS-Bench-201 in six letters, and which ones are looked at."""

from __future__ import annotations

import numpy as np

from dsrna.benchmarks.classes import representatives
from dsrna.benchmarks.nas_robbench_201 import NasRobBench201
from dsrna.spaces.nasbench201.architecture_string import operations_of, string_of
from dsrna.spaces.nasbench201.index import string_at
from dsrna.spaces.nasbench201.topology import PRIMITIVES

LETTERS = "-s13p"
"""The operations of :data:`PRIMITIVES`, each in one letter."""

BASE = "333s33"
SWAPS = (
    *(BASE[:edge] + letter + BASE[edge + 1 :] for edge in (0, 1, 2, 4, 5) for letter in "s1"),
    "333333",
)


def architecture(cell: str) -> str:
    """The architecture string of six letters.

    >>> architecture("333s33")
    '|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|'
    """
    return string_of([PRIMITIVES[LETTERS.index(letter)] for letter in cell])


def letters(text: str) -> str:
    """The six letters of an architecture string."""
    return "".join(LETTERS[PRIMITIVES.index(name)] for name in operations_of(text))


def spread(table: NasRobBench201, count: int = 12) -> list[str]:
    """Cells at the middles of ``count`` equal parts of the ranks of PGD 8/255 after adversarial training."""
    order = np.argsort(table.of_classes("cifar10", "pgd", 8 / 255), kind="stable")
    places = ((np.arange(count) + 0.5) * len(order) / count).astype(int)
    return [letters(string_at(int(representatives()[order[place]]))) for place in places]
