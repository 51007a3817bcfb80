"""Noise: every pixel and channel on its own.

Severities: Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations
(ICLR 2019), as their CIFAR-10-C was made. All functions take images (N, C, H, W) in [0, 1] and a severity in 1..5, and
may leave [0, 1]; :func:`dsrna.corruptions.corrupt` checks before and clips after.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dsrna.corruptions.draws import normal, uniform

GAUSSIAN = (0.04, 0.06, 0.08, 0.09, 0.10)
"""Standard deviation."""
SHOT = (500, 250, 100, 75, 50)
"""Photons of a white pixel."""
IMPULSE = (0.01, 0.02, 0.03, 0.05, 0.07)
"""Share of values that become black or white."""
SPECKLE = (0.06, 0.10, 0.12, 0.16, 0.20)
"""Standard deviation, relative to the value."""


def gaussian_noise(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """``x + sigma z``, z standard normal."""
    return x + GAUSSIAN[severity - 1] * normal(x.shape, generator, x)


def shot_noise(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """``Poisson(lambda x) / lambda``: mean x, variance x / lambda."""
    photons = SHOT[severity - 1]
    counts = torch.poisson((x * photons).to(generator.device), generator=generator)
    return counts.to(x.device) / photons


def impulse_noise(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """A share of the values becomes 0 or 1, each with probability one half."""
    share = IMPULSE[severity - 1]
    drawn = uniform(x.shape, 0.0, 1.0, generator, x)
    return torch.where(drawn < share, (drawn < share / 2).to(x.dtype), x)


def speckle_noise(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """``x + x sigma z``, z standard normal."""
    return x + x * SPECKLE[severity - 1] * normal(x.shape, generator, x)
