"""Adversarial training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.attacks import PGD
from dsrna.attacks.pgd import AttackLoss
from dsrna.errors import ConfigError
from dsrna.nn.modes import BatchNormMode
from dsrna.objectives.base import LossForward, Objective, Result
from dsrna.types import Threat


class Adversarial(Objective):
    """Cross-entropy on PGD examples: min_w E max_{x' in ball} CE(f(x'), y).

    Cost: ``steps`` forward and backward passes for the attack (``restarts`` times), one of each for the loss.

    Args:
        threat: the ball of the attack.
        steps: PGD steps; the paper takes 7 on CIFAR-10 (with steps of 2/255 for 8/255) and 40 on MNIST.
        step_size: None means ``relative_step_size`` * eps, and where that is None too, 2.5 * eps / steps.
        relative_step_size: a step's length over eps, so that it fits every threat: 0.25 is 2/255 at 8/255.
        restarts: PGD restarts.
        random_start: start uniformly in the ball, as the paper does.
        attack_loss: ``"cross_entropy"`` as in the paper, or ``"margin"``.
        label_smoothing: see :class:`dsrna.objectives.Objective`.
        auxiliary_weight: see :class:`dsrna.objectives.Objective`.
        batch_norm: statistics by which the network normalises under attack, see :class:`dsrna.attacks.base.Attack`.

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
    ) -> None:
        super().__init__(label_smoothing, auxiliary_weight)
        if relative_step_size is not None and not 0 < relative_step_size <= 2:
            raise ConfigError(
                f"Expected `relative_step_size` above 0 and at most 2, the ball's width, got {relative_step_size:g}. "
                "(conf: relative_step_size)"
            )
        if step_size is None and relative_step_size is not None and threat.eps > 0:
            step_size = relative_step_size * threat.eps
        self.attack = PGD(threat.norm, threat.eps, step_size, steps, restarts, random_start, attack_loss, batch_norm)

    @property
    def title(self) -> str:
        return f"adversarial training (PGD-{self.attack.steps})"

    def result(
        self, model: nn.Module, forward: LossForward, x: Tensor, y: Tensor, generator: torch.Generator | None
    ) -> Result:
        examples = self.attack(model, x, y, generator)
        outputs = forward(examples)
        return Result(self.cross_entropy(outputs, y), outputs[0], examples)
