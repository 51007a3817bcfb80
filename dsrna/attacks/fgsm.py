"""The fast gradient (sign) method."""

from __future__ import annotations

from dsrna.attacks.pgd import PGD
from dsrna.nn.modes import BatchNormMode
from dsrna.types import Norm


class FGSM(PGD):
    """One gradient step to the edge of the ball.

    Without a random start, x + eps * sign(g) for l_inf (Goodfellow et al.) and x + eps * g / ||g||_2 for l_2, moved
    into [0, 1]. With a random start, one step of 1.25 * eps from a uniform point of the ball, projected back: the
    attack of "fast" adversarial training (Wong et al.), whose longer step reaches the edge from most starts.

    Cost: one forward and one backward pass.

    Args:
        norm: ``"linf"`` or ``"l2"``.
        eps: radius in [0, 1] pixel units.
        random_start: start uniformly in the ball and step 1.25 * eps.
        batch_norm: see :class:`dsrna.attacks.base.Attack`.

    References:
        Goodfellow et al., Explaining and Harnessing Adversarial Examples, ICLR 2015. Wong et al., Fast is Better than
        Free: Revisiting Adversarial Training, ICLR 2020, algorithm 3.
    """

    def __init__(
        self, norm: Norm, eps: float, random_start: bool = False, batch_norm: BatchNormMode = "running"
    ) -> None:
        step_size = (1.25 if random_start else 1.0) * eps if eps else None  # a ball without width has no valid step
        super().__init__(norm, eps, step_size, steps=1, random_start=random_start, batch_norm=batch_norm)
