"""The loss on attacked images, as a score."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.errors import ConfigError
from dsrna.functional.gradient_norm import image_gradient
from dsrna.functional.norms import steepest_step
from dsrna.metrics.base import RobustnessMetric
from dsrna.nn.modes import BatchNormMode
from dsrna.types import Norm


class AdversarialLoss(RobustnessMetric):
    """R(x, y) = -mean over shares s of CE(f(x_s), y), x_s = clip(x + s * eps * d) with the loss's steepest direction d.

    The second objective of searches that weigh accuracy against robustness, beside the loss on clean images: with
    ``metric_join=min_norm`` as in ARNAS and E2RNAS, with ``fixed`` as a mixture, with several shares of several
    strengths as in Wsr-NAS. At most 0, in nats; a network that ignores its input scores -ln K at best in the mean.
    The attacked images are held fixed in the derivative (Danskin).

    Cost: a forward and a backward pass, and a forward and a backward pass for each share.

    Args:
        norm: of the threat.
        eps: radius in [0, 1] pixel units, >= 0.
        shares: of eps, one strength of the attack each, > 0.
        batch_norm: see :class:`RobustnessMetric`.

    Raises:
        ConfigError: a value is out of range.

    Sources: Ou et al., Towards Accurate and Robust Architectures via Neural Architecture Search (CVPR 2024); Yue et
    al., E2RNAS (2020); Cheng et al., Wsr-NAS (AAAI 2023). Differs from them: one step of Goodfellow et al. (2015)
    from the image, where they attack by several or estimate what an attack would give.
    """

    rewards_ignoring_the_input = False

    def __init__(
        self,
        norm: Norm = "linf",
        eps: float = 8 / 255,
        shares: list[float] | None = None,
        batch_norm: BatchNormMode = "batch",
    ) -> None:
        super().__init__(batch_norm)
        if not 0 <= eps < math.inf:
            raise ConfigError(f"Expected `eps` >= 0, got {eps:g}. (conf: eps)")
        self.norm, self.eps, self.shares = norm, eps, [1.0] if shares is None else shares
        if not self.shares or not all(0 < share < math.inf for share in self.shares):
            raise ConfigError(f"Expected `shares` of eps above 0, at least one, got {self.shares}. (conf: shares)")

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        """See the class."""

        def loss(images: Tensor) -> Tensor:
            return F.cross_entropy(model(images), y, reduction="none")

        uphill = steepest_step(image_gradient(loss, x), self.norm)
        losses = [loss((x + share * self.eps * uphill).clamp(0, 1)) for share in self.shares]
        return -torch.stack(losses).mean(dim=0)
