"""The exponentiated gradient: steps of probabilities, taken in their logarithms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from dsrna.errors import ConfigError

_TOLERANCE = 1e-3


class ExponentiatedGradient(torch.optim.Optimizer):
    """p <- p exp(-lr dL/dp) / Z, with Z such that the p of a row sum to 1; then none is left below ``smallest``.

    Each row (last dimension) of a parameter holds the logarithms of probabilities p, and -inf where an entry belongs to
    none and never will. The loss sees p by a softmax of the row, so that dL/d log p = p (dL/dp - <p, dL/dp>). Divided
    by p, it is dL/dp but for a constant, which Z takes out.

    Args:
        params: whose rows are logarithms of probabilities.
        lr: eta, finite, >= 0.
        smallest: what no probability falls below, in [0, 0.01]: it could hardly come back.

    Raises:
        ConfigError: a value is out of range, or a parameter holds no logarithms of probabilities.

    Source: Li, Khodak, Balcan, Talwalkar, Geometry-Aware Gradient Algorithms for NAS (ICLR 2021), section 3.2 and
    algorithm 1. Differs from the released code: there ``smallest`` is compared before p is divided by Z.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float = 0.1, smallest: float = 1e-5) -> None:
        if not 0 <= lr < math.inf:
            raise ConfigError(f"Expected a finite `lr` >= 0, got {lr}. (conf: lr)")
        if not 0 <= smallest <= 0.01:
            raise ConfigError(f"Expected `smallest` in [0, 0.01], got {smallest}. (conf: smallest)")
        super().__init__(params, {"lr": lr, "smallest": smallest})
        for group in self.param_groups:
            for parameter in group["params"]:
                _check_probabilities(parameter.detach())

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Moves every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            floor = math.log(group["smallest"]) if group["smallest"] else -math.inf
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.copy_(_moved(parameter, parameter.grad, group["lr"], floor))
        return loss


def _moved(logs: Tensor, gradient: Tensor, rate: float, floor: float) -> Tensor:
    exists = logs > -math.inf
    slope = gradient / logs.softmax(dim=-1).clamp(min=torch.finfo(logs.dtype).tiny)
    moved = (logs - rate * slope.where(exists, 0)).log_softmax(dim=-1)
    return moved.clamp(min=floor).where(exists, -math.inf).log_softmax(dim=-1)


def _check_probabilities(logs: Tensor) -> None:
    if float((logs.exp().sum(dim=-1) - 1).abs().max()) > _TOLERANCE:
        raise ConfigError(
            "The exponentiated gradient moves probabilities, and these parameters hold none: it is for the alphas of "
            "strategy=gaea. Choose another optimiser, as in optimizer@search.alphas_optimizer=adam_alphas."
        )
