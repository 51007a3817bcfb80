"""The largest eigenvalues of symmetric matrices that are known by their products alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from dsrna.functional.eigenvalues import eigenvalues

_BREAKDOWN = 1e-5
"""A new direction this short, relative to the product that it comes from, is rounding."""


def largest_eigenvalues(product: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Tensor:
    """The largest (not: largest in magnitude) eigenvalue of each of N symmetric matrices, by Lanczos's method.

    Exact, but for rounding, after as many steps as a matrix has rows, or different eigenvalues; before that a lower
    bound, which is close after 20 or so where the largest eigenvalue stands apart. New directions are made orthogonal
    to all earlier ones.

    Args:
        product: (N, D) float64 -> (N, D) float64, each matrix times its row.
        start: (N, D) float64, no row zero; best random.
        steps: products, >= 1; more than D are not taken.

    Returns:
        (N,) largest Ritz values; all NaN where a product wasn't finite.

    >>> matrix = torch.diag(torch.tensor([-5.0, 1.0, 3.0], dtype=torch.double))
    >>> largest_eigenvalues(lambda rows: rows @ matrix, torch.ones(1, 3, dtype=torch.double), steps=3).round(decimals=6)
    tensor([3.], dtype=torch.float64)
    """
    basis = [F.normalize(start, dim=1)]
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    for _ in range(min(steps, start.shape[1])):
        moved = product(basis[-1])
        value = (basis[-1] * moved).sum(dim=1)
        exhausted = basis[-1].norm(dim=1) == 0
        # An exhausted matrix repeats its first value, which is no more than its largest eigenvalue.
        diagonal.append(torch.where(exhausted, diagonal[0], value) if diagonal else value)
        rest = moved
        for _ in range(2):  # once is not enough against rounding
            for direction in basis:
                rest = rest - (direction * rest).sum(dim=1, keepdim=True) * direction
        length = rest.norm(dim=1)
        length = torch.where(length > _BREAKDOWN * moved.norm(dim=1), length, 0.0)
        beside.append(length)
        basis.append(rest / length[:, None].masked_fill(length[:, None] == 0, torch.inf))
    tridiagonal = torch.diag_embed(torch.stack(diagonal, dim=1))
    if len(diagonal) > 1:
        off = torch.diag_embed(torch.stack(beside[:-1], dim=1), offset=1)
        tridiagonal = tridiagonal + off + off.mT
    return eigenvalues(tridiagonal)[:, -1]
