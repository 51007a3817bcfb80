"""Draws from Dirichlet distributions whose gradient reaches the concentrations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def dirichlet_draw(concentration: Tensor, kept: Tensor, generator: torch.Generator) -> Tensor:
    """One draw of each row, in float64 on the CPU, without a gradient.

    Args:
        concentration: (E, O), > 0.
        kept: (E, O) bool, at least one in a row; the others get 0, and the draw is that of the kept ones alone.
        generator: a CPU generator, the one source of random numbers.

    Returns:
        (E, O), rows sum to 1. By logarithms of gamma draws, Gamma(c) = Gamma(c + 1) U^(1/c): with small concentrations
        the draws themselves are too small for any float.
    """
    positive = concentration.detach().to("cpu", torch.float64)
    gamma = torch._standard_gamma(positive + 1, generator=generator)
    uniform = torch.rand(positive.shape, generator=generator, dtype=torch.float64) + 2**-54
    logs = gamma.log() + uniform.log() / positive
    return logs.masked_fill(~kept.cpu(), -torch.inf).softmax(dim=1)


def dirichlet_sample(concentration: Tensor, kept: Tensor, draw: Tensor) -> Tensor:
    """The draw, as it depends on the concentrations that it was drawn with.

    The derivative is the implicit one, dx_i/dc_j = -(dF/dc_j) / (dF/dx_i) for the distribution function F at the draw,
    as in torch.distributions, but for a draw that is given. First derivatives alone.

    Args:
        concentration: (E, O), > 0.
        kept: (E, O) bool, as for the draw.
        draw: (E, O), of :func:`dirichlet_draw` at these concentrations.

    Returns:
        (E, O), of the concentration's dtype and on its device.
    """
    sample: Tensor = _Dirichlet.apply(concentration, kept, draw)
    return sample


class _Dirichlet(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, concentration: Tensor, kept: Tensor, draw: Tensor) -> Tensor:
        ctx.save_for_backward(concentration, kept, draw)
        return draw.to(concentration)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        concentration, kept, draw = ctx.saved_tensors
        kept, slope = kept.cpu(), gradient.to(draw)
        positive = concentration.to(draw)
        total = positive.where(kept, 0).sum(dim=1, keepdim=True).expand_as(positive).contiguous()
        # An operation that is alone on its edge has weight 1, whatever its concentration.
        several = kept & (kept.sum(dim=1, keepdim=True) > 1)
        inside = draw.where(several, 0.5).clamp(torch.finfo(draw.dtype).tiny, 1 - torch.finfo(draw.dtype).eps)
        by_own = torch._dirichlet_grad(inside, positive, total.where(several, 2 * positive + 1))
        found = by_own * (slope - (draw * slope).sum(dim=1, keepdim=True))
        return found.where(several, 0).to(concentration), None, None
