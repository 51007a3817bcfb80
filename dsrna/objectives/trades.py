"""TRADES."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.attacks import TradesAttack
from dsrna.bounds.eps_schedule import Shape
from dsrna.errors import ConfigError
from dsrna.nn.modes import BatchNormMode
from dsrna.objectives.attacking import Attacking
from dsrna.objectives.base import LossForward, Result
from dsrna.types import Threat


class Trades(Attacking):
    """Clean cross-entropy plus beta times the divergence that an attack can cause.

    CE(f(x), y) + beta * KL(p(x) || p(x')), where x' maximises the same divergence in the ball
    (:class:`dsrna.attacks.TradesAttack`). Gradients flow through both p(x) and p(x'). Larger beta trades clean for
    robust accuracy. The auxiliary head and label smoothing enter the cross-entropy alone.

    Cost: ``steps`` forward and backward passes for the attack, one forward pass for its p(x); two forward passes and
    one backward pass for the loss.

    Args:
        threat: the ball of the attack.
        beta: weight of the divergence (1 / lambda in the paper, which takes 1 to 6), >= 0.
        steps: attack steps; the paper takes 10 on CIFAR-10 (step 0.007 for eps 0.031) and 40 on MNIST.
        step_size: None means 2.5 * eps / steps; in proportion to the radius while that grows.
        label_smoothing: see :class:`dsrna.objectives.Objective`.
        auxiliary_weight: see :class:`dsrna.objectives.Objective`.
        batch_norm: statistics by which the network normalises under attack, see :class:`dsrna.attacks.base.Attack`.
        eps_start, ramp_begin, ramp_end, ramp_shape: see :class:`dsrna.objectives.attacking.Attacking`.

    Raises:
        ConfigError: a value is out of range.

    Differs from the released code: there the clean images pass the network twice for the loss, so that BatchNorm's
    running statistics move twice by them; here once. The released code leaves the network in training mode, here it
    is left as it came.

    References:
        Zhang et al., Theoretically Principled Trade-off between Robustness and Accuracy, ICML 2019, eq. 5, algorithm 1.
    """

    def __init__(
        self,
        threat: Threat,
        beta: float = 6.0,
        steps: int = 10,
        step_size: float | None = None,
        label_smoothing: float = 0.0,
        auxiliary_weight: float = 0.4,
        batch_norm: BatchNormMode = "running",
        eps_start: float = 0.0,
        ramp_begin: float = 0.0,
        ramp_end: float = 0.0,
        ramp_shape: Shape = "linear",
    ) -> None:
        super().__init__(threat, label_smoothing, auxiliary_weight, eps_start, ramp_begin, ramp_end, ramp_shape)
        if not beta >= 0:
            raise ConfigError(f"Expected `beta` >= 0, got {beta:g}. (conf: beta)")
        self.beta = beta
        self.steps, self.step_size, self.batch_norm = steps, step_size, batch_norm
        _ = self.attack  # refuses what is out of range

    @property
    def title(self) -> str:
        return f"TRADES (beta {self.beta:g})"

    @property
    def attack(self) -> TradesAttack:
        """The attack in the present ball, to which the length of its steps is proportional."""
        return TradesAttack(
            self.threat.norm, self.radius, self.in_proportion(self.step_size), self.steps, self.batch_norm
        )

    def result(
        self, model: nn.Module, forward: LossForward, x: Tensor, y: Tensor, generator: torch.Generator | None
    ) -> Result:
        examples = self.attack(model, x, y, generator)
        clean = forward(x)
        logits = forward(examples)[0]
        divergence = F.kl_div(
            logits.log_softmax(dim=1), clean[0].log_softmax(dim=1), reduction="batchmean", log_target=True
        )
        return Result(self.cross_entropy(clean, y) + self.beta * divergence, logits, examples, self.numbers)
