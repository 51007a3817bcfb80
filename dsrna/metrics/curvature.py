"""How the loss's gradient turns on the way to the adversarial image."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.errors import ConfigError
from dsrna.functional.gradient_norm import check_difference_step, image_gradient, slope_along
from dsrna.functional.norms import dual_direction, image_norm
from dsrna.metrics.base import RobustnessMetric
from dsrna.nn.modes import BatchNormMode


class Curvature(RobustnessMetric):
    """R(x, y) = -||g(x + z) - g(x)||_2, with g(x) = d CE(f(x), y) / d x and z = length * sign g(x) / ||sign g(x)||_2.

    AdvRush's term: a smooth loss around the image. At most 0, in nats per [0, 1] pixel unit; a network that ignores its
    input scores 0, the best there is. z is held fixed in the derivative (that of a sign is 0 almost everywhere).

    Cost: two forward and two backward passes, and for the derivative four forward passes and a backward pass.

    Args:
        length: l_2 length of z, in [0, 1] pixel units, > 0; x + z may leave [0, 1].
        difference_step: of the central differences that give the derivative, see
            :func:`dsrna.functional.gradient_norm.slope_along`.
        batch_norm: see :class:`RobustnessMetric`.

    Raises:
        ConfigError: a value is out of range.

    Source: Mok et al., AdvRush (ICCV 2021), which takes gamma .01, h 1.5, and the term in the last 10 of 60 epochs;
    z as in Moosavi-Dezfooli et al., CURE (CVPR 2019), whose loss its released code takes. Differs: the norm itself is
    averaged, not its square; h there is in units of normalised images.
    """

    def __init__(
        self, length: float = 1.5, difference_step: float = 0.01, batch_norm: BatchNormMode = "running"
    ) -> None:
        super().__init__(batch_norm)
        check_difference_step(difference_step)
        if not 0 < length < math.inf:
            raise ConfigError(f"Expected `length` > 0, got {length:g}. (conf: length)")
        self.length, self.difference_step = length, difference_step

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        """See the class."""

        def loss(images: Tensor) -> Tensor:
            return F.cross_entropy(model(images), y, reduction="none")

        here = image_gradient(loss, x)
        z = self.length * dual_direction(here.sign(), "l2")
        turn = image_gradient(loss, x + z) - here
        lengths = image_norm(turn, 2)
        if not torch.is_grad_enabled():
            return -lengths
        along = dual_direction(turn, "l2")
        slopes = slope_along(loss, x + z, along, self.difference_step) - slope_along(
            loss, x, along, self.difference_step
        )
        return -(lengths + (slopes - slopes.detach()))
