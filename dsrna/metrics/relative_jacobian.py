"""The Jacobian norm in units of the logits' spread."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dsrna.errors import ConfigError
from dsrna.metrics.base import RobustnessMetric
from dsrna.metrics.jacobian import Derivative, Estimator, JacobianNorm
from dsrna.nn.modes import BatchNormMode
from dsrna.types import Norm


class RelativeJacobian(RobustnessMetric):
    """R(x, y) = (c_y - r) / (|c| + r), with c the logits without their mean, |c| their l_2 norm, the logits' spread,
    and r = eps (1/K) sum_k ||J_k||_q how far logits move in the ball, on average and to first order.

    Divided by |c|, it is (c_y / |c| - r / |c|) / (1 + r / |c|): it falls with the Jacobian norm in units of the spread.
    That quotient alone would be 0 / 0 for a network that ignores its input, and small for one that nearly does; the
    true class's logit in it makes such networks score 0 at most in the mean over the classes, while one that classifies
    its images, by logits that move less than they differ, scores above 0. In [-1, 1]; -1 where all logits are equal.
    The same whatever the scale of the logits. An estimate, no certificate. Not known to have been used in a search.

    Cost: that of :class:`~dsrna.metrics.jacobian.JacobianNorm`, and a forward and a backward pass.

    Args:
        norm: p of the threat.
        eps: radius of the threat, in [0, 1] pixel units, > 0.
        estimator, projections, derivative, difference_step: see :class:`~dsrna.metrics.jacobian.JacobianNorm`. A score
            that is estimated by few rows is biased a little, as it isn't linear in r.
        batch_norm: see :class:`RobustnessMetric`.

    Raises:
        ConfigError: a value is out of range.
    """

    rewards_ignoring_the_input = False
    scale_free = True

    def __init__(
        self,
        norm: Norm = "linf",
        eps: float = 8 / 255,
        estimator: Estimator = "exact",
        projections: int = 1,
        derivative: Derivative = "autograd",
        difference_step: float = 0.01,
        batch_norm: BatchNormMode = "running",
    ) -> None:
        super().__init__(batch_norm)
        if not 0 < eps < math.inf:
            raise ConfigError(f"Expected `eps` > 0, in [0, 1] pixel units, got {eps:g}. (conf: eps)")
        self.eps = eps
        self._jacobian = JacobianNorm(norm, estimator, projections, derivative, difference_step, batch_norm)

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        """See the class."""
        reach = -self.eps * self._jacobian.score(model, x, y, generator)
        logits = model(x)
        centred = logits - logits.mean(dim=1, keepdim=True)
        spread = torch.linalg.vector_norm(centred, dim=1)
        size = spread + reach
        flat = size.detach() == 0
        of_class = centred.gather(1, y[:, None])[:, 0]
        return ((of_class - reach) / size.masked_fill(flat, 1)).masked_fill(flat, -1)
