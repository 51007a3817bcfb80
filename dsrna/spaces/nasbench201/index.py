"""The published index of the 15,625 architectures, and the classes of isomorphic ones."""

from __future__ import annotations

import random
from functools import cache
from itertools import product

import numpy as np

from dsrna.errors import GenotypeError
from dsrna.spaces.nasbench201.architecture_string import operations_of, string_of
from dsrna.spaces.nasbench201.isomorphism import canonical_form
from dsrna.spaces.nasbench201.topology import EDGES, PRIMITIVES

COUNT = len(PRIMITIVES) ** len(EDGES)
"""15,625 architectures."""

_PUBLISHED_SEED = 88


def string_at(index: int) -> str:
    """The architecture string of a published index.

    Raises:
        GenotypeError: it isn't a whole number from 0 to 15,624.

    >>> string_at(13433)
    '|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|nor_conv_1x1~1|skip_connect~2|'
    """
    if not isinstance(index, int | np.integer) or isinstance(index, bool) or not 0 <= index < COUNT:
        raise GenotypeError(
            f"Expected the index of an architecture, a whole number from 0 to {COUNT - 1}, got {index!r}"
        )
    return string_of(_in_published_order()[index])


def index_of(text: str) -> int:
    """The published index of an architecture string.

    Raises:
        GenotypeError: the text isn't an architecture string.

    >>> index_of("|nor_conv_1x1~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|nor_conv_3x3~0|skip_connect~1|nor_conv_1x1~2|")
    50
    """
    return _indices()[operations_of(text)]


@cache
def isomorphs() -> np.ndarray:
    """(15625,) int64: for each index, the smallest index of its class, which stands for it in the published tables.

    There are 6,466 classes. Computed once, in about a tenth of a second; read-only.
    """
    first: dict[str, int] = {}
    found = [first.setdefault(canonical_form(names), index) for index, names in enumerate(_in_published_order())]
    array = np.array(found, dtype=np.int64)
    array.flags.writeable = False
    return array


@cache
def _in_published_order() -> tuple[tuple[str, ...], ...]:
    """The operations of every architecture, by index.

    The benchmark's authors listed the architectures in lexicographic order and shuffled them with Python's own
    generator under a fixed seed; the same shuffle gives the same order, so that no list needs to be stored.
    """
    architectures = list(product(PRIMITIVES, repeat=len(EDGES)))
    random.Random(_PUBLISHED_SEED).shuffle(architectures)
    return tuple(architectures)


@cache
def _indices() -> dict[tuple[str, ...], int]:
    return {operations: index for index, operations in enumerate(_in_published_order())}
