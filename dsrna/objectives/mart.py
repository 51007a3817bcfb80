"""MART."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.attacks import PGD
from dsrna.bounds.eps_schedule import Shape
from dsrna.errors import ConfigError
from dsrna.nn.modes import BatchNormMode
from dsrna.objectives.attacking import Attacking
from dsrna.objectives.base import LossForward, Result
from dsrna.types import Threat


class Mart(Attacking):
    """A boosted cross-entropy on PGD examples, and the divergence from the images where these are hard themselves.

    CE(f(x'), y) - log(1 - max_{k != y} p_k(x')) + beta * (1 - p_y(x)) * KL(p(x) || p(x')), where x' maximises the
    cross-entropy in the ball. Gradients flow through p(x), p(x') and the factor. The auxiliary head and label smoothing
    enter the cross-entropy alone.

    Cost: ``steps`` forward and backward passes for the attack; two forward passes and one backward pass for the loss.

    Args:
        threat: the ball of the attack.
        beta: weight of the divergence (lambda in the paper), >= 0; 5 for its ResNet-18, 6 for its wide networks.
        steps: attack steps, 10 in the paper.
        step_size: None means 2.5 * eps / steps, as in the paper; in proportion to the radius while that grows.
        label_smoothing: see :class:`dsrna.objectives.Objective`.
        auxiliary_weight: see :class:`dsrna.objectives.Objective`.
        batch_norm: statistics by which the network normalises under attack, see :class:`dsrna.attacks.base.Attack`.
        eps_start, ramp_begin, ramp_end, ramp_shape: see :class:`dsrna.objectives.attacking.Attacking`.

    Raises:
        ConfigError: a value is out of range.

    Differs from the released code: its attack starts from a Gaussian point beside the image, here anywhere in the ball;
    logarithms are taken of the logits' sums, without a small number that keeps them finite.

    References:
        Wang et al., Improving Adversarial Robustness Requires Revisiting Misclassified Examples, ICLR 2020, eq. 11.
    """

    def __init__(
        self,
        threat: Threat,
        beta: float = 5.0,
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
        return f"MART (beta {self.beta:g})"

    @property
    def attack(self) -> PGD:
        """The attack in the present ball, to which the length of its steps is proportional."""
        step_size = self.in_proportion(self.step_size)
        return PGD(self.threat.norm, self.radius, step_size, self.steps, batch_norm=self.batch_norm)

    def result(
        self, model: nn.Module, forward: LossForward, x: Tensor, y: Tensor, generator: torch.Generator | None
    ) -> Result:
        examples = self.attack(model, x, y, generator)
        clean, outputs = forward(x)[0].log_softmax(dim=1), forward(examples)
        attacked, true = outputs[0].log_softmax(dim=1), y[:, None]
        rival = attacked.scatter(1, true, -torch.inf).argmax(dim=1, keepdim=True)
        others = attacked.scatter(1, rival, -torch.inf).logsumexp(dim=1)  # log(1 - p of the rival)
        divergence = F.kl_div(attacked, clean, reduction="none", log_target=True).sum(dim=1)
        hardness = 1 - clean.gather(1, true)[:, 0].exp()
        loss = self.cross_entropy(outputs, y) - others.mean() + self.beta * (hardness * divergence).mean()
        return Result(loss, outputs[0], examples, self.numbers)
