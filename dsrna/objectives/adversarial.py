"""Adversarial training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.attacks import PGD
from dsrna.attacks.pgd import AttackLoss
from dsrna.bounds.eps_schedule import Shape
from dsrna.errors import ConfigError
from dsrna.nn.modes import BatchNormMode
from dsrna.objectives.attacking import Attacking
from dsrna.objectives.base import LossForward, Result
from dsrna.types import Threat


class Adversarial(Attacking):
    """Cross-entropy on PGD examples: min_w E max_{x' in ball} CE(f(x'), y).

    Cost: ``steps`` forward and backward passes for the attack (``restarts`` times), one of each for the loss.

    Args:
        threat: the ball of the attack.
        steps: PGD steps; the paper takes 7 on CIFAR-10 (with steps of 2/255 for 8/255) and 40 on MNIST.
        step_size: None means ``relative_step_size`` * eps, and where that is None too, 2.5 * eps / steps. In proportion
            to the radius while that grows.
        relative_step_size: a step's length over eps, so that it fits every threat: 0.25 is 2/255 at 8/255.
        restarts: PGD restarts.
        random_start: start uniformly in the ball, as the paper does.
        attack_loss: ``"cross_entropy"`` as in the paper, or ``"margin"``.
        label_smoothing: see :class:`dsrna.objectives.Objective`.
        auxiliary_weight: see :class:`dsrna.objectives.Objective`.
        batch_norm: statistics by which the network normalises under attack, see :class:`dsrna.attacks.base.Attack`.
        eps_start, ramp_begin, ramp_end, ramp_shape: see :class:`dsrna.objectives.attacking.Attacking`.

    Differs from the released code: with ``batch_norm="running"`` the attack sees the network in evaluation mode, there
    in training mode.

    References:
        Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018, eq. 2.1.
    """

    def __init__(
        self,
        threat: Threat,
        steps: int = 10,
        step_size: float | None = None,
        restarts: int = 1,
        random_start: bool = True,
        attack_loss: AttackLoss = "cross_entropy",
        label_smoothing: float = 0.0,
        auxiliary_weight: float = 0.4,
        relative_step_size: float | None = None,
        batch_norm: BatchNormMode = "running",
        eps_start: float = 0.0,
        ramp_begin: float = 0.0,
        ramp_end: float = 0.0,
        ramp_shape: Shape = "linear",
    ) -> None:
        super().__init__(threat, label_smoothing, auxiliary_weight, eps_start, ramp_begin, ramp_end, ramp_shape)
        if relative_step_size is not None and not 0 < relative_step_size <= 2:
            raise ConfigError(
                f"Expected `relative_step_size` above 0 and at most 2, the ball's width, got {relative_step_size:g}. "
                "(conf: relative_step_size)"
            )
        if step_size is None and relative_step_size is not None and threat.eps > 0:
            step_size = relative_step_size * threat.eps
        self.steps, self.step_size, self.restarts = steps, step_size, restarts
        self.random_start, self.attack_loss, self.batch_norm = random_start, attack_loss, batch_norm
        _ = self.attack  # refuses what is out of range

    @property
    def title(self) -> str:
        return f"adversarial training (PGD-{self.steps})"

    @property
    def attack(self) -> PGD:
        """The attack in the present ball, to which the length of its steps is proportional."""
        return PGD(
            self.threat.norm, self.radius, self.in_proportion(self.step_size), self.steps, self.restarts,
            self.random_start, self.attack_loss, self.batch_norm,
        )  # fmt: skip

    def result(
        self, model: nn.Module, forward: LossForward, x: Tensor, y: Tensor, generator: torch.Generator | None
    ) -> Result:
        examples = self.attack(model, x, y, generator)
        outputs = forward(examples)
        return Result(self.cross_entropy(outputs, y), outputs[0], examples, self.numbers)
