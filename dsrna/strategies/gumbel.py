"""Gumbel noise."""

from __future__ import annotations

import torch
from torch import Tensor


def gumbel_noise(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise -log(-log u) of a tensor's shape, dtype and device, drawn in float64 on the CPU.

    argmax(log p + noise) is distributed as p (the Gumbel-max trick).
    """
    # rand is in [0, 1): 0 would become -inf, so it is moved by half its spacing.
    uniform = torch.rand(like.shape, generator=generator, dtype=torch.float64) + 2**-54
    return (-(-uniform.log()).log()).to(like)
