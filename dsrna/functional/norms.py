"""Norms of images, the exponent that is dual to a threat's, and the direction in which a dual norm is reached.

None of it knows a smallest length: an image times 2^k has 2^k times the norm and the same direction, as long as its
values are normal numbers of their precision (1.2e-38 to 3.4e38 in single precision; below, digits are lost, and below
1.4e-45 there is nothing left).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dsrna.errors import ConfigError
from dsrna.types import Norm

_DUAL_EXPONENTS: dict[str, float] = {"linf": 1.0, "l2": 2.0, "l1": math.inf}


def dual_exponent(norm: Norm) -> float:
    """The q with 1/p + 1/q = 1, for the p of a threat's norm.

    A linear function g moves by at most ||g||_q * eps on the l_p ball of radius eps (Hölder), and by exactly that at
    :func:`dual_direction`.

    Raises:
        ConfigError: the norm is none of ``"linf"``, ``"l2"`` and ``"l1"``.

    >>> dual_exponent("linf"), dual_exponent("l2"), dual_exponent("l1")
    (1.0, 2.0, inf)
    """
    if norm not in _DUAL_EXPONENTS:
        raise ConfigError(f"Expected `norm` to be one of {', '.join(_DUAL_EXPONENTS)}, got {norm!r}.")
    return _DUAL_EXPONENTS[norm]


def image_norm(images: Tensor, exponent: float) -> Tensor:
    """l_q norm of each image.

    Differentiable; at an image of zeros the gradient is zero, not NaN.

    Args:
        images: (N, ...).
        exponent: q: 1, 2 or ``math.inf``.

    Returns:
        (N,).

    >>> image_norm(torch.tensor([[3.0, -4.0], [0.0, 0.0]]), 2)
    tensor([5., 0.])
    """
    flat = images.flatten(1)
    if exponent != 2:
        return torch.linalg.vector_norm(flat, ord=exponent, dim=1)
    size = _size(flat)  # squares of tiny and huge values leave the range of their precision
    squares = (flat / size).square().sum(dim=1)
    none = squares == 0
    return size[:, 0] * squares.masked_fill(none, 1).sqrt().masked_fill(none, 0)


def steepest_step(gradient: Tensor, norm: Norm) -> Tensor:
    """Direction of unit norm along which the loss grows fastest, per image, however large or small the gradient is.

    ``sign(g)`` for l_inf and ``g / ||g||_2`` for l_2. An image whose gradient is zero gets a zero direction.

    Args:
        gradient: (N, ...) gradient of the loss to the images.
        norm: ``"linf"`` or ``"l2"``.

    Returns:
        (N, ...) direction d with ||d|| = 1 (or 0).

    >>> steepest_step(torch.tensor([[3e-30, -4e-30], [0.0, 0.0]]), "l2")
    tensor([[ 0.6000, -0.8000],
            [ 0.0000,  0.0000]])
    """
    if norm == "linf":
        return gradient.sign()
    flat = gradient.flatten(1)
    flat = flat / _size(flat)
    lengths = flat.square().sum(dim=1, keepdim=True).sqrt()
    return (flat * (1 / lengths).masked_fill(lengths == 0, 0)).view_as(gradient)


def dual_direction(gradient: Tensor, norm: Norm) -> Tensor:
    """The direction u of unit l_p norm with <g, u> = ||g||_q, per image.

    Where several directions reach the norm (l_1, equal entries), the first one. An image of zeros gets zeros.

    Args:
        gradient: (N, ...).
        norm: p of the threat.

    Returns:
        (N, ...).

    >>> dual_direction(torch.tensor([[3.0, -4.0]]), "l1")
    tensor([[ 0., -1.]])
    """
    if norm != "l1":
        return steepest_step(gradient, norm)
    flat = gradient.flatten(1)
    largest = flat.abs().argmax(dim=1, keepdim=True)
    return torch.zeros_like(flat).scatter(1, largest, flat.gather(1, largest).sign()).view_as(gradient)


def _size(flat: Tensor) -> Tensor:
    """(N, 1) powers of two near the largest value of each row, by which a division is exact; 1 for a row of zeros."""
    if flat.shape[1] == 0:
        return flat.new_ones(len(flat), 1)
    largest = flat.detach().abs().amax(dim=1, keepdim=True)
    smallest = math.log2(torch.finfo(flat.dtype).tiny)
    return largest.masked_fill(largest == 0, 1).log2().floor().clamp(smallest, -smallest).exp2()
