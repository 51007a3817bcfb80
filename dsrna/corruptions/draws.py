"""Random numbers for corruptions: drawn where the generator lives, so that they are the same on every device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def normal(shape: Sequence[int], generator: torch.Generator, like: Tensor) -> Tensor:
    """Standard normal numbers of ``shape``, with the type and device of ``like``."""
    return torch.randn(tuple(shape), generator=generator, device=generator.device, dtype=like.dtype).to(like.device)


def uniform(shape: Sequence[int], low: float, high: float, generator: torch.Generator, like: Tensor) -> Tensor:
    """Uniform numbers in [low, high) of ``shape``, with the type and device of ``like``."""
    drawn = torch.rand(tuple(shape), generator=generator, device=generator.device, dtype=like.dtype).to(like.device)
    return low + (high - low) * drawn
