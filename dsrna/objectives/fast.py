"""Adversarial training with a single step."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from dsrna.attacks import FGSM
from dsrna.objectives.attacked import Attacked
from dsrna.objectives.base import LossForward


@dataclass(kw_only=True, eq=False)
class FastAdversarial(Attacked):
    """Cross-entropy on single-step examples: a uniform start in the ball, one step of 1.25 * eps, projected back.

    May overfit to the single step ("catastrophic overfitting": accuracy under PGD falls to 0 within an epoch while
    that under the single step rises), which validation under PGD shows.

    Cost: one forward and one backward pass for the attack, one of each for the loss.

    Args and errors are those of :class:`~dsrna.objectives.attacked.Attacked`.

    Differs from the released code: with ``batch_norm="running"`` the attack sees the network in evaluation mode, there
    in training mode; the paper treats l_inf alone, here l_2 takes the normalised gradient.

    References:
        Wong et al., Fast is Better than Free: Revisiting Adversarial Training, ICLR 2020, algorithm 3.
    """

    @property
    def plain_title(self) -> str:
        return "single-step adversarial training"

    @property
    def attack(self) -> FGSM:
        return FGSM(self.threat.norm, self.radius, random_start=True, batch_norm=self.batch_norm)

    def loss(self, forward: LossForward, x: Tensor, y: Tensor, examples: Tensor) -> tuple[Tensor, Tensor]:
        outputs = forward(examples)
        return self.cross_entropy(outputs, y), outputs[0]
