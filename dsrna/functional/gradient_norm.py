"""The norm of a gradient in the images, differentiable in a network's parameters at first order."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from dsrna.errors import ConfigError
from dsrna.functional.jacobian import central_difference, jacobian_row
from dsrna.functional.norms import dual_direction, dual_exponent, image_norm
from dsrna.types import Norm

PerImage = Callable[[Tensor], Tensor]
"""Images (N, ...) -> (N,), the value of each by itself."""


def image_gradient(function: PerImage, x: Tensor) -> Tensor:
    """d function_i / d x_i, (N, ...), without a graph. Cost: a forward and a backward pass.

    Raises:
        UnsupportedError: the values don't depend differentiably on the images.
    """
    images = x.detach().requires_grad_()
    with torch.enable_grad():
        values = function(images)[:, None]
    first = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    return jacobian_row(values, images, first, create_graph=False, keep_logits=False)


def gradient_norm(function: PerImage, x: Tensor, norm: Norm, difference_step: float) -> Tensor:
    """(N,) ||d function_i / d x_i||_q with 1/p + 1/q = 1.

    Where gradients are enabled, its derivative in what the function depends on is that of the central difference along
    the direction in which the norm is reached, held fixed. Cost: a forward and a backward pass, and for the derivative
    two more forward passes.

    Args:
        function: of the images.
        x: (N, ...).
        norm: p.
        difference_step: root mean square of the displacement over an image's values, in [0, 1] pixel units.
    """
    gradient = image_gradient(function, x)
    norms = image_norm(gradient, dual_exponent(norm))
    if not torch.is_grad_enabled():
        return norms
    slopes = slope_along(function, x, dual_direction(gradient, norm), difference_step)
    return norms + (slopes - slopes.detach())


def slope_along(function: PerImage, x: Tensor, direction: Tensor, difference_step: float) -> Tensor:
    """(N,) <d function_i / d x_i, direction_i> by central differences. Cost: two forward passes."""
    scale = image_norm(direction, 2) / math.sqrt(x[0].numel())
    steps = difference_step / scale.masked_fill(scale == 0, 1)  # a direction of zeros has no length
    displacement = direction * steps.view(-1, *[1] * (x.ndim - 1))
    return central_difference(function, x.detach(), displacement) / steps


def check_difference_step(difference_step: float) -> None:
    """Refuses what is no length of a displacement.

    Raises:
        ConfigError: it isn't in (0, 1].
    """
    if not 0 < difference_step <= 1:
        raise ConfigError(
            f"Expected `difference_step` in (0, 1] pixel units, got {difference_step:g}. (conf: difference_step)"
        )
