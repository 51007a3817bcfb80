"""A network and a batch on which proxies can be computed by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def plain_network(seed: int = 0) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU, convolution, ReLU, average, linear, in double precision; 3 logits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = (
            nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, 5, 3, stride=2), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3),
        )  # fmt: skip
    return nn.Sequential(*layers).double()


def image_batch(
    count: int = 6, classes: int = 3, size: int = 8, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """(count, 3, size, size) images, uniform in [0, 1], and classes in turn."""
    source = torch.Generator().manual_seed(1)
    return torch.rand(count, 3, size, size, generator=source, dtype=dtype), torch.arange(count) % classes


def draw(seed: int = 0) -> torch.Generator:
    """A fresh generator."""
    return torch.Generator().manual_seed(seed)
