"""Norms of images, the exponent that is dual to a threat's, and the direction in which a dual norm is reached."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dsrna.errors import ConfigError
from dsrna.functional.projections import steepest_step
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
        exponent: q >= 1, or ``math.inf``.

    Returns:
        (N,).

    >>> image_norm(torch.tensor([[3.0, -4.0], [0.0, 0.0]]), 2)
    tensor([5., 0.])
    """
    return torch.linalg.vector_norm(images.flatten(1), ord=exponent, dim=1)


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
