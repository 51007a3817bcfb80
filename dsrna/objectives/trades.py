"""TRADES."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.attacks import TradesAttack
from dsrna.errors import ConfigError
from dsrna.nn.modes import BatchNormMode
from dsrna.objectives.base import LossForward, Objective, Result
from dsrna.types import Threat


class Trades(Objective):
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
        step_size: None means 2.5 * eps / steps.
        label_smoothing: see :class:`dsrna.objectives.Objective`.
        auxiliary_weight: see :class:`dsrna.objectives.Objective`.
        batch_norm: statistics by which the network normalises under attack, see :class:`dsrna.attacks.base.Attack`.

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
    ) -> None:
        super().__init__(label_smoothing, auxiliary_weight)
        if not beta >= 0:
            raise ConfigError(f"Expected `beta` >= 0, got {beta:g}. (conf: beta)")
        self.beta = beta
        self.attack = TradesAttack(threat.norm, threat.eps, step_size, steps, batch_norm)

    @property
    def title(self) -> str:
        return f"TRADES (beta {self.beta:g})"

    def result(
        self, model: nn.Module, forward: LossForward, x: Tensor, y: Tensor, generator: torch.Generator | None
    ) -> Result:
        examples = self.attack(model, x, y, generator)
        clean = forward(x)
        logits = forward(examples)[0]
        divergence = F.kl_div(
            logits.log_softmax(dim=1), clean[0].log_softmax(dim=1), reduction="batchmean", log_target=True
        )
        return Result(self.cross_entropy(clean, y) + self.beta * divergence, logits, examples)
