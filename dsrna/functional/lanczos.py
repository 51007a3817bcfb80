"""The largest eigenvalue of a symmetric matrix that is known by its products alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def largest_eigenvalue(product: Callable[[Tensor], Tensor], start: Tensor, iterations: int) -> float:
    """The largest (not: largest in magnitude) eigenvalue of a symmetric matrix, by Lanczos's method.

    Exact, but for rounding, after as many iterations as the matrix has rows; before that it is a lower bound, which is
    close after 20 or so where the largest eigenvalue stands apart. New directions are made orthogonal to all earlier
    ones, in float64.

    Args:
        product: v (n,) -> A v (n,).
        start: (n,), not zero; best random.
        iterations: products, >= 1.

    Returns:
        The eigenvalue.

    >>> matrix = torch.diag(torch.tensor([-5.0, 1.0, 3.0]))
    >>> round(largest_eigenvalue(lambda v: matrix @ v, torch.ones(3), iterations=3), 5)
    3.0
    """
    basis: list[Tensor] = []
    diagonal, below = [], []
    direction = start.double() / start.double().norm()
    for _ in range(min(iterations, start.numel())):
        basis.append(direction)
        image = product(direction.to(start)).double()
        diagonal.append(torch.dot(image, direction))
        size = image.norm()
        for _ in range(2):  # once leaves what rounding brought in
            for earlier in basis:
                image = image - torch.dot(image, earlier) * earlier
        rest = image.norm()
        if rest <= 1e-6 * size:
            break
        below.append(rest)
        direction = image / rest
    count = len(diagonal)
    matrix = torch.diag(torch.stack(diagonal))
    for index, value in enumerate(below[: count - 1]):
        matrix[index, index + 1] = matrix[index + 1, index] = value
    return float(torch.linalg.eigvalsh(matrix.cpu()).max())
