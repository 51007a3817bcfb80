"""Affine functions that enclose nonlinear operations between bounds of their inputs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Lines(NamedTuple):
    """lower * z <= ReLU(z) <= upper * z + intercept.

    Attributes:
        lower: slope, between 0 and 1.
        upper: slope.
        intercept: >= 0.
    """

    lower: Tensor
    upper: Tensor
    intercept: Tensor


def relu_lines(low: Tensor, high: Tensor) -> Lines:
    """Lines around ReLU for inputs between two ends, entry by entry.

    Above: the chord. Below: slope 1 or 0, whichever leaves the smaller area (CROWN's adaptive rule). Exact where the
    sign is known.

    Args:
        low: lower ends.
        high: upper ends, >= ``low``.

    References:
        Zhang et al., Efficient Neural Network Robustness Certification with General Activation Functions
        (NeurIPS 2018), section 3.3.
    """
    positive, negative = high.relu(), (-low).relu()
    upper = positive / (positive + negative).clamp(min=torch.finfo(low.dtype).tiny)
    return Lines((positive >= negative).to(low.dtype), upper, upper * negative)


class Plane(NamedTuple):
    """max_i z_i <= sum_i slopes_i z_i + intercept.

    Attributes:
        slopes: (M, k), between 0 and 1.
        intercept: (M,).
    """

    slopes: Tensor
    intercept: Tensor


def plane_above_maximum(low: Tensor, high: Tensor) -> Plane:
    """A plane above the maximum of entries that lie between two ends.

    gamma + sum_i w_i (z_i - low_i) with w_i = (high_i - gamma) / (high_i - low_i), over the entries that can be the
    maximum, where gamma makes the w_i add up to 1 if it can. The constant is then the smallest that is sound for these
    slopes as they were rounded: max over z of max(z) - w . z = max_j (high_j - w_j (high_j - low_j)) - w . low.

    Args:
        low: (M, k) lower ends; minus infinity for an entry that isn't there.
        high: (M, k) upper ends, >= ``low``; minus infinity for an entry that isn't there.

    References:
        Boopathy et al., CNN-Cert (AAAI 2019), for gamma and w.
    """
    floor = low.amax(1, keepdim=True)
    rival = (high > floor) | (low == floor)
    low, high = torch.where(rival, low, floor), torch.where(rival, high, floor)
    limits = torch.finfo(low.dtype)
    smallest = limits.eps * torch.maximum(low.abs(), high.abs()).clamp(min=limits.tiny / limits.eps**2)
    width = torch.maximum(high - low, smallest)
    inverse = rival / width
    gamma = ((inverse * high).sum(1, keepdim=True) - 1) / inverse.sum(1, keepdim=True)
    ceiling = torch.where(rival, high, torch.inf).amin(1, keepdim=True)
    gamma = torch.minimum(torch.maximum(gamma, floor), ceiling)
    slopes = torch.where(rival, ((high - gamma) / width).clamp(0, 1), 0.0)
    highest = (high - slopes * (high - low)).amax(1)
    return Plane(slopes, highest - (slopes * low).sum(1))
