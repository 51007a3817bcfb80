"""MART."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dsrna.objectives.base import LossForward
from dsrna.objectives.consistency import ConsistencyTraining


@dataclass(kw_only=True, eq=False)
class Mart(ConsistencyTraining):
    """A boosted cross-entropy on PGD examples, and the divergence from the images where these are hard themselves.

    CE(f(x'), y) - log(1 - max_{k != y} p_k(x')) + beta * (1 - p_y(x)) * KL(p(x) || p(x')), where x' maximises the
    cross-entropy in the ball. Gradients flow through p(x), p(x') and the factor. The auxiliary head and label smoothing
    enter the cross-entropy alone.

    Cost: ``steps`` forward and backward passes for the attack; two forward passes and one backward pass for the loss.

    Args:
        beta: weight of the divergence (lambda in the paper), >= 0; 5 for its ResNet-18, 6 for its wide networks.
        steps: attack steps, 10 in the paper.
        step_size: None means 2.5 * eps / steps, as in the paper; in proportion to the radius while that grows.

    All others, and errors, are those of :class:`~dsrna.objectives.consistency.ConsistencyTraining`.

    Differs from the released code: its attack starts from a Gaussian point beside the image, here anywhere in the ball;
    logarithms are taken of the logits' sums, without a small number that keeps them finite.

    References:
        Wang et al., Improving Adversarial Robustness Requires Revisiting Misclassified Examples, ICLR 2020, eq. 11.
    """

    method = "MART"

    beta: float = 5.0

    def loss(self, forward: LossForward, x: Tensor, y: Tensor, examples: Tensor) -> tuple[Tensor, Tensor]:
        clean, outputs = forward(x)[0].log_softmax(dim=1), forward(examples)
        attacked, true = outputs[0].log_softmax(dim=1), y[:, None]
        rival = attacked.scatter(1, true, -torch.inf).argmax(dim=1, keepdim=True)
        others = attacked.scatter(1, rival, -torch.inf).logsumexp(dim=1)  # log(1 - p of the rival)
        divergence = F.kl_div(attacked, clean, reduction="none", log_target=True).sum(dim=1)
        hardness = 1 - clean.gather(1, true)[:, 0].exp()
        loss = self.cross_entropy(outputs, y) - others.mean() + self.beta * (hardness * divergence).mean()
        return loss, outputs[0]
