"""The radius to which the margin lasts, to first order."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dsrna.errors import ConfigError
from dsrna.functional.gradient_norm import check_difference_step, gradient_norm
from dsrna.functional.margins import margin
from dsrna.functional.norms import dual_exponent
from dsrna.metrics.base import RobustnessMetric
from dsrna.nn.modes import BatchNormMode
from dsrna.types import Norm


class LocalRadius(RobustnessMetric):
    """R(x, y) = min(1, m_+ / (eps ||d m / d x||_q)), with m = f_y - max_j f_j the margin and 1/p + 1/q = 1.

    The distance in l_p at which the linearised margin is used up, in units of eps: 1 where it outlasts the ball, 0
    where the image is misclassified or where the margin's gradient is 0 exactly. In [0, 1], and no higher on average
    than accuracy, so that a network that ignores its input scores at most what chance gives. The same whatever the
    scale of the logits. An estimate, no certificate. Misclassified images and those at 1 give no derivative.

    Cost: two forward passes and a backward pass, and for the derivative two forward passes and a backward pass more.

    Args:
        norm: p of the threat.
        eps: radius of the threat, in [0, 1] pixel units, > 0.
        difference_step: see :func:`dsrna.functional.gradient_norm.gradient_norm`.
        batch_norm: see :class:`RobustnessMetric`.

    Raises:
        ConfigError: a value is out of range.

    References:
        The radius as in Hein and Andriushchenko, Formal Guarantees on the Robustness of a Classifier (NeurIPS 2017),
        with the gradient at the image for the Lipschitz constant. Not known to have been used in a search.
    """

    rewards_ignoring_the_input = False
    scale_free = True

    def __init__(
        self,
        norm: Norm = "linf",
        eps: float = 8 / 255,
        difference_step: float = 0.01,
        batch_norm: BatchNormMode = "running",
    ) -> None:
        super().__init__(batch_norm)
        dual_exponent(norm)
        check_difference_step(difference_step)
        if not 0 < eps < math.inf:
            raise ConfigError(f"Expected `eps` > 0, in [0, 1] pixel units, got {eps:g}. (conf: eps)")
        self.norm, self.eps, self.difference_step = norm, eps, difference_step

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        """See the class."""
        slopes = gradient_norm(lambda images: margin(model(images), y), x, self.norm, self.difference_step)
        flat = slopes.detach() == 0
        radius = margin(model(x), y).clamp(min=0) / (self.eps * slopes.masked_fill(flat, 1))
        return radius.masked_fill(flat, 0).clamp(max=1)
