"""The inner maximisation of TRADES."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from dsrna.attacks.base import required
from dsrna.attacks.pgd import PGD
from dsrna.distributed.group import per_image
from dsrna.functional.projections import project
from dsrna.nn.modes import BatchNormMode
from dsrna.types import Norm

START_DEVIATION = 0.001
"""Standard deviation of the Gaussian start in TRADES's algorithm 1, in [0, 1] pixel units."""


class TradesAttack(PGD):
    """PGD on KL(p(x) || p(x')) from a Gaussian point near the image.

    The start is x + 0.001 * N(0, I): away from x, where the divergence has a zero gradient, yet close to it.

    Cost: ``steps`` forward and backward passes and one forward pass for p(x).

    Args:
        norm: ``"linf"`` or ``"l2"``.
        eps: radius in [0, 1] pixel units.
        step_size: length of a step, as in :class:`dsrna.attacks.PGD`.
        steps: number of steps, >= 1.
        batch_norm: see :class:`dsrna.attacks.base.Attack`.

    Differs from the released code: the start is moved into the ball and into [0, 1] at once; for l_2 the released
    code takes steps of 2 * eps / steps, here the step size is ``step_size`` in both norms.

    References:
        Zhang et al., Theoretically Principled Trade-off between Robustness and Accuracy, ICML 2019, algorithm 1.
    """

    def __init__(
        self,
        norm: Norm,
        eps: float,
        step_size: float | None = None,
        steps: int = 10,
        batch_norm: BatchNormMode = "running",
    ) -> None:
        super().__init__(norm, eps, step_size, steps, loss="kl", batch_norm=batch_norm)

    def start(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        generator = required(generator)
        draw = partial(torch.randn, generator=generator, device=generator.device, dtype=x.dtype)
        noise = per_image(draw, x.shape)
        return project(x + START_DEVIATION * noise.to(x.device), x, self.threat.norm, self.threat.eps)
