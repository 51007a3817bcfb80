"""Random cells with about as many parameters as another one."""

from __future__ import annotations

from collections.abc import Callable

import torch

from dsrna.spaces.genotype import Genotype
from dsrna.spaces.search_space import SearchSpace
from dsrna.strategies.selection.sampling import equal_weights, sampled_cell

WITHIN = 0.1
"""A random cell's parameters are to differ from the other's by no more than this share of them."""
TRIES = 2000


def random_cell(
    space: SearchSpace, like: Genotype, parameters_of: Callable[[Genotype], int], draw: torch.Generator
) -> Genotype:
    """The first random cell whose network has as many parameters as that of ``like``, give or take a tenth.

    Where none of 2,000 has, the one of them that comes nearest.

    Args:
        space: the search space.
        like: the cell of a search.
        parameters_of: parameters of a cell's network.
        draw: a CPU generator.
    """
    equal, wanted = equal_weights(space), parameters_of(like)
    nearest, least = like, float("inf")
    for _ in range(TRIES):
        cell = sampled_cell(space, equal, draw)
        off = abs(parameters_of(cell) / wanted - 1)
        if off < least and cell != like:
            nearest, least = cell, off
        if least <= WITHIN:
            break
    return nearest
