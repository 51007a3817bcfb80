"""Architectures as rows of the published tables: isomorphic architectures share one."""

from __future__ import annotations

from functools import cache

import numpy as np

from dsrna.errors import GenotypeError
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.nasbench201.index import COUNT, index_of, isomorphs, string_at
from dsrna.spaces.nasbench201.space import Nasbench201Space

Architecture = int | str | Genotype
"""A published index, an architecture string, or a genotype of the space nasbench201."""


def representatives() -> np.ndarray:
    """(6466,) int64, ascending: the index that stands for each class of isomorphic architectures."""
    return _classes()[0]


def rows() -> np.ndarray:
    """(15625,) int64: for each index, the row of its class in :func:`representatives`."""
    return _classes()[1]


def index_of_architecture(architecture: Architecture) -> int:
    """The published index, from 0 to 15,624.

    Raises:
        GenotypeError: there is no such architecture.
    """
    if isinstance(architecture, Genotype):
        return Nasbench201Space().index(architecture)
    if isinstance(architecture, str):
        return index_of(architecture)
    string_at(architecture)
    return int(architecture)


def checked_indices(indices: np.ndarray) -> np.ndarray:
    """``indices``, if all are published indices.

    Raises:
        GenotypeError: they are no whole numbers from 0 to 15,624.
    """
    indices = np.asarray(indices)
    if indices.size and not np.issubdtype(indices.dtype, np.integer):
        raise GenotypeError(f"Expected an array of whole numbers as architectures' indices, got {indices.dtype}.")
    if indices.size and not (indices.min() >= 0 and indices.max() < COUNT):
        raise GenotypeError(
            f"Expected architectures' indices from 0 to {COUNT - 1}, got {indices.min()} to {indices.max()}."
        )
    return indices.astype(np.int64, copy=False)


@cache
def _classes() -> tuple[np.ndarray, np.ndarray]:
    found, inverse = np.unique(isomorphs(), return_inverse=True)
    found.flags.writeable = inverse.flags.writeable = False
    return found, inverse
