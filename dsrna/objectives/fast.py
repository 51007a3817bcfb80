"""Adversarial training with a single step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.attacks import FGSM
from dsrna.bounds.eps_schedule import Shape
from dsrna.nn.modes import BatchNormMode
from dsrna.objectives.attacking import Attacking
from dsrna.objectives.base import LossForward, Result
from dsrna.types import Threat


class FastAdversarial(Attacking):
    """Cross-entropy on single-step examples: a uniform start in the ball, one step of 1.25 * eps, projected back.

    May overfit to the single step ("catastrophic overfitting": accuracy under PGD falls to 0 within an epoch while
    that under the single step rises), which validation under PGD shows.

    Cost: one forward and one backward pass for the attack, one of each for the loss.

    Args:
        threat: the ball of the attack.
        label_smoothing: see :class:`dsrna.objectives.Objective`.
        auxiliary_weight: see :class:`dsrna.objectives.Objective`.
        batch_norm: statistics by which the network normalises under attack, see :class:`dsrna.attacks.base.Attack`.
        eps_start, ramp_begin, ramp_end, ramp_shape: see :class:`dsrna.objectives.attacking.Attacking`.

    Differs from the released code: with ``batch_norm="running"`` the attack sees the network in evaluation mode, there
    in training mode; the paper treats l_inf alone, here l_2 takes the normalised gradient.

    References:
        Wong et al., Fast is Better than Free: Revisiting Adversarial Training, ICLR 2020, algorithm 3.
    """

    def __init__(
        self,
        threat: Threat,
        label_smoothing: float = 0.0,
        auxiliary_weight: float = 0.4,
        batch_norm: BatchNormMode = "running",
        eps_start: float = 0.0,
        ramp_begin: float = 0.0,
        ramp_end: float = 0.0,
        ramp_shape: Shape = "linear",
    ) -> None:
        super().__init__(threat, label_smoothing, auxiliary_weight, eps_start, ramp_begin, ramp_end, ramp_shape)
        self.batch_norm = batch_norm
        _ = self.attack  # refuses what is out of range

    @property
    def title(self) -> str:
        return "single-step adversarial training"

    @property
    def attack(self) -> FGSM:
        """The attack in the present ball."""
        return FGSM(self.threat.norm, self.radius, random_start=True, batch_norm=self.batch_norm)

    def result(
        self, model: nn.Module, forward: LossForward, x: Tensor, y: Tensor, generator: torch.Generator | None
    ) -> Result:
        examples = self.attack(model, x, y, generator)
        outputs = forward(examples)
        return Result(self.cross_entropy(outputs, y), outputs[0], examples, self.numbers)
