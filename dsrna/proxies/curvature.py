"""The curvature of the loss along the steepest direction."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.errors import ConfigError
from dsrna.functional.norms import image_norm
from dsrna.proxies.base import Proxy


class Curvature(Proxy):
    """-mean_n ||g(x_n + h z_n) - g(x_n)||_2 / h, g the gradient of an image's cross-entropy, z = sign(g) / ||sign(g)||.

    BatchNorm's statistics are those of the batch, held constant. x + h z may leave [0, 1].

    Cost: two forward passes and two backward passes to the images.

    Args:
        step: h > 0, the Euclidean length of the step in [0, 1] pixel units.

    Source: Moosavi-Dezfooli et al., CURE, CVPR 2019, eq. 5 (there the square, not divided by h).
    """

    batch_norm = "calibrated"

    def __init__(self, step: float = 1.5) -> None:
        if not step > 0:
            raise ConfigError(f"Expected `step` above 0, got {step}. (conf: step)")
        self.step = step

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        model.requires_grad_(False)
        gradient = _loss_gradient(model, x, y)
        signs = gradient.sign()
        lengths = image_norm(signs, 2).clamp(min=1).view(-1, *[1] * (x.ndim - 1))
        moved = _loss_gradient(model, x + self.step * signs / lengths, y)
        return -image_norm(moved - gradient, 2).mean() / self.step


def _loss_gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    images = x.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(images), y, reduction="sum"), images)
    return gradient
