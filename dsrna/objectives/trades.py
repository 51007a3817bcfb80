"""TRADES."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from dsrna.attacks import TradesAttack
from dsrna.objectives.base import LossForward
from dsrna.objectives.consistency import ConsistencyTraining


@dataclass(kw_only=True, eq=False)
class Trades(ConsistencyTraining):
    """Clean cross-entropy plus beta times the divergence that an attack can cause.

    CE(f(x), y) + beta * KL(p(x) || p(x')), where x' maximises the same divergence in the ball
    (:class:`dsrna.attacks.TradesAttack`). Gradients flow through both p(x) and p(x'). Larger beta trades clean for
    robust accuracy. The auxiliary head and label smoothing enter the cross-entropy alone.

    Cost: ``steps`` forward and backward passes for the attack, one forward pass for its p(x); two forward passes and
    one backward pass for the loss.

    Args:
        beta: weight of the divergence (1 / lambda in the paper, which takes 1 to 6), >= 0.
        steps: attack steps; the paper takes 10 on CIFAR-10 (step 0.007 for eps 0.031) and 40 on MNIST.
        step_size: None means 2.5 * eps / steps; in proportion to the radius while that grows.

    All others, and errors, are those of :class:`~dsrna.objectives.consistency.ConsistencyTraining`.

    Differs from the released code: there the clean images pass the network twice for the loss, so that BatchNorm's
    running statistics move twice by them; here once. The released code leaves the network in training mode, here it
    is left as it came.

    References:
        Zhang et al., Theoretically Principled Trade-off between Robustness and Accuracy, ICML 2019, eq. 5, algorithm 1.
    """

    method = "TRADES"

    beta: float = 6.0

    @property
    def attack(self) -> TradesAttack:
        return TradesAttack(
            self.threat.norm, self.radius, self.in_proportion(self.step_size), self.steps, self.batch_norm
        )

    def loss(self, forward: LossForward, x: Tensor, y: Tensor, examples: Tensor) -> tuple[Tensor, Tensor]:
        clean = forward(x)
        logits = forward(examples)[0]
        divergence = F.kl_div(
            logits.log_softmax(dim=1), clean[0].log_softmax(dim=1), reduction="batchmean", log_target=True
        )
        return self.cross_entropy(clean, y) + self.beta * divergence, logits
