"""Random numbers of proxies, the same on every device."""

from __future__ import annotations

import torch
from torch import Tensor

from dsrna.errors import ConfigError


def gaussian(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard normal numbers of the shape, type and device of ``like``.

    Raises:
        ConfigError: there is no generator.
    """
    if generator is None:
        raise ConfigError(
            "Expected a `generator` for a proxy that draws random numbers, got None; pass "
            "`dsrna.functional.seeding.generator(seed, ...)`."
        )
    return torch.randn(like.shape, generator=generator, device=generator.device, dtype=like.dtype).to(like.device)
