"""SCORE: TRADES with squared errors of probabilities."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from dsrna.objectives.base import LossForward
from dsrna.objectives.consistency import ConsistencyTraining


@dataclass(kw_only=True, eq=False)
class Score(ConsistencyTraining):
    """How far the probabilities are from the class, and how far an attack can move them, both as squared errors.

    ||p(x) - 1_y||^2 + beta * ||p(x) - p(x')||^2, where x' maximises the second distance in the ball, from anywhere in
    it. Gradients flow through both p(x) and p(x'). A squared distance is bounded, by 2, where TRADES's divergence is
    not, so that no image pulls without limit. Label smoothing s takes (1 - s) 1_y + s / K for 1_y; the auxiliary head
    has its cross-entropy.

    Cost: ``steps`` forward and backward passes for the attack, one forward pass for its p(x); two forward passes and
    one backward pass for the loss.

    Args:
        beta: weight of the second term, >= 0.
        steps: attack steps, 10 in the released code.
        step_size: None means 2.5 * eps / steps; in proportion to the radius while that grows.

    All others, and errors, are those of :class:`~dsrna.objectives.consistency.ConsistencyTraining`.

    Differs from the released code: its smoothed target for K classes is (1 - s K / (K - 1)) 1_y + s / (K - 1), ours has
    the s of torch's cross-entropy; its attack sees the statistics of the batch, ours those that ``batch_norm`` says.

    References:
        Pang et al., Robustness and Accuracy Could Be Reconcilable by (Proper) Definition, ICML 2022: self-consistent
        robust error with the squared error as its distance; P2333/SCORE, ``trades_loss_LSE``.
    """

    method = "SCORE"
    attack_loss = "squared_error"

    beta: float = 4.0

    def loss(self, forward: LossForward, x: Tensor, y: Tensor, examples: Tensor) -> tuple[Tensor, Tensor]:
        outputs, logits = forward(x), forward(examples)[0]
        clean, attacked = outputs[0].softmax(dim=1), logits.softmax(dim=1)
        classes = clean.shape[1]
        target = F.one_hot(y, classes) * (1 - self.label_smoothing) + self.label_smoothing / classes
        errors = (clean - target).square() + self.beta * (clean - attacked).square()
        return errors.sum(dim=1).mean() + self.auxiliary_loss(outputs, y), logits
