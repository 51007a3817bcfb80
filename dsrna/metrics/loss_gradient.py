"""The norm of the loss's gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.functional.gradient_norm import check_difference_step, gradient_norm
from dsrna.functional.norms import dual_exponent
from dsrna.metrics.base import RobustnessMetric
from dsrna.nn.modes import BatchNormMode
from dsrna.types import Norm


class LossGradient(RobustnessMetric):
    """R(x, y) = -||d CE(f(x), y) / d x||_q, 1/p + 1/q = 1; in nats per [0, 1] pixel unit, at most 0.

    eps times it is, to first order, how much the loss grows in the l_p ball of radius eps: with gamma = eps the
    architecture step goes down the loss under attack, to first order. A network that ignores its input has the
    gradient 0, the best there is, and a search on NAS-Bench-201 has ended in one: the loss on attacked images
    (``objective@search.architecture_objective=fast``) is what this stands for, and didn't.

    Cost: a forward and a backward pass, and for the derivative two forward passes and one backward pass.

    Args:
        norm: p of the threat.
        difference_step: see :func:`dsrna.functional.gradient_norm.gradient_norm`.
        batch_norm: see :class:`RobustnessMetric`.

    Raises:
        ConfigError: a value is out of range.

    Source: Simon-Gabriel et al., First-order Adversarial Vulnerability of Neural Networks (ICML 2019), section 2.
    """

    def __init__(self, norm: Norm = "linf", difference_step: float = 0.01, batch_norm: BatchNormMode = "running"):
        super().__init__(batch_norm)
        dual_exponent(norm)
        check_difference_step(difference_step)
        self.norm, self.difference_step = norm, difference_step

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        """See the class."""
        return -gradient_norm(
            lambda images: F.cross_entropy(model(images), y, reduction="none"), x, self.norm, self.difference_step
        )
