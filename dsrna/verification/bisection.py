"""Bisection of a radius on a logarithmic scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dsrna.types import Norm

FIRST_RADIUS = 0.05
"""Where CNN-Cert begins."""


def next_radius(low: Tensor, high: Tensor, largest: float) -> Tensor:
    """The radius to try next, by CNN-Cert's protocol: the middle of log(low) and log(high), once both are known.

    Until then the last radius times or divided by e, and 0.05 where nothing is known.

    Args:
        low: (N,) the largest radius so far at which the test held; 0 where none is known.
        high: (N,) the smallest radius so far at which it did not; infinity where none is known.
        largest: the radius beyond which the ball no longer grows.

    Returns:
        (N,) radii in (0, largest]; ``largest`` again where the test held there.

    >>> low, high = torch.tensor([0.0, 0.0, 0.1, 0.1]), torch.tensor([torch.inf, 0.2, torch.inf, 0.4])
    >>> next_radius(low, high, largest=1.0)
    tensor([0.0500, 0.0736, 0.2718, 0.2000])

    References:
        Boopathy et al., CNN-Cert: An Efficient Framework for Certifying Robustness of Convolutional Neural Networks,
        AAAI 2019, and its code.
    """
    upwards = torch.where(low > 0, low * math.e, torch.full_like(low, FIRST_RADIUS))
    downwards = torch.where(low > 0, (low * high).sqrt(), high / math.e)
    return torch.where(high.isinf(), upwards, downwards).clamp(max=largest)


def largest_radius(norm: Norm, x: Tensor) -> float:
    """The radius at which the ball around any image holds every image of [0, 1].

    Args:
        norm: ``"linf"`` or ``"l2"``.
        x: (N, ...) images.
    """
    return 1.0 if norm == "linf" else math.sqrt(x[0].numel())
