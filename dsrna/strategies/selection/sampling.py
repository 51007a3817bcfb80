"""Discrete cells drawn from operation weights; from equal ones: random cells."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from dsrna.spaces.genotype import Genotype
from dsrna.spaces.search_space import SearchSpace
from dsrna.types import CellWeights, OperationWeights

_TRIES = 20
"""Draws for every cell that is wanted, before it is taken that there are no more."""
_DRAWN = 40
"""Cells that are drawn for every likely one that is wanted."""
_SHARPNESS = 6
"""The runner-up of an edge with 85 % of the best one's weight is drawn 38 times for 100 of the best one, one with 60 %
5 times."""


def equal_weights(space: SearchSpace) -> OperationWeights:
    """Operation weights 1 / O on every edge: those of a search that has found nothing."""
    return {
        cell_type: CellWeights(torch.full(shape, 1 / shape[1])) for cell_type, shape in space.weight_shapes().items()
    }


def sampled_cell(space: SearchSpace, weights: OperationWeights, generator: torch.Generator) -> Genotype:
    """One cell from the distribution that operation weights stand for.

    Every weight is divided by an exponential draw of its own, and what is derived from the quotients is returned. So
    the operation of an edge is drawn in proportion to the weights, and where a node keeps some of its edges, they are
    drawn one after the other, in proportion to edge weight times sum of the operation weights. A weight of 0 is never
    drawn. A draw that ignores its input is mended as :meth:`~dsrna.spaces.search_space.SearchSpace.derive` does.

    Args:
        space: the search space.
        weights: operation weights (E, O) >= 0, edge weights (E,) >= 0 or None.
        generator: a CPU generator.
    """
    return space.derive(
        {
            cell_type: CellWeights(_raced(weights[cell_type].operations, generator), _plain(weights[cell_type].edges))
            for cell_type in space.cell_types
        }
    )


def distinct_cells(
    space: SearchSpace,
    weights: OperationWeights,
    count: int,
    generator: torch.Generator,
    but: Collection[Genotype] = (),
) -> list[Genotype]:
    """Up to ``count`` different cells in the order of their draw; fewer where hardly any others can be found.

    The first ones don't depend on how many are drawn.

    Args:
        space, weights, generator: see :func:`sampled_cell`.
        count: how many.
        but: cells to leave out.
    """
    found: dict[Genotype, None] = {}
    for _ in range(_TRIES * count):
        if len(found) == count:
            break
        cell = sampled_cell(space, weights, generator)
        if cell not in but:
            found[cell] = None
    return list(found)


def likeliest_cells(
    space: SearchSpace,
    weights: OperationWeights,
    count: int,
    generator: torch.Generator,
    but: Collection[Genotype] = (),
) -> list[Genotype]:
    """Up to ``count`` different cells of high likelihood, the likeliest first: those next to the derived cell.

    The likelihood of a cell is the product of the weights of its operations, in cells that keep some of a node's edges
    over the edges that they keep. Cells are drawn from weights to the power of ``_SHARPNESS``, so that hardly a cell
    is missed that is about as likely as those that are found: operation weights of a relaxed search are often so close
    to each other that draws from them are all but random cells.

    Args:
        space, weights, generator: see :func:`sampled_cell`.
        count: how many.
        but: cells to leave out.
    """
    sharp = {
        cell_type: CellWeights(cell.operations.detach().cpu().double() ** _SHARPNESS, _plain(cell.edges))
        for cell_type, cell in weights.items()
    }
    drawn = distinct_cells(space, sharp, _DRAWN * count, generator, but)
    return sorted(drawn, key=lambda cell: -_log_likelihood(space, weights, cell))[:count]


def _log_likelihood(space: SearchSpace, weights: OperationWeights, genotype: Genotype) -> float:
    chosen = space.one_hot(genotype)
    columns = [space.primitives.index(name) for name in space.choices]  # an edge left out is on one that is no choice
    total = 0.0
    for cell_type, cell in weights.items():
        scales = 1.0 if cell.edges is None else cell.edges.detach().cpu().double()[:, None]
        logs = (cell.operations.detach().cpu().double() * scales).clamp_min(1e-100).log()
        total += float((logs * chosen[cell_type].operations)[:, columns].sum())
    return total


def _raced(operations: Tensor, generator: torch.Generator) -> Tensor:
    draws = torch.empty(operations.shape, dtype=torch.float64).exponential_(generator=generator)
    return operations.detach().cpu().double() / draws.clamp_min(1e-100)


def _plain(edges: Tensor | None) -> Tensor | None:
    return None if edges is None else edges.detach().cpu().double()
