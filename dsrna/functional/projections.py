"""Balls of a threat model cut with the image box [0, 1]: projection, uniform points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from dsrna.distributed.group import per_image
from dsrna.functional.norms import image_norm, steepest_step
from dsrna.types import Norm


def project(images: Tensor, center: Tensor, norm: Norm, eps: float) -> Tensor:
    """Images moved into the ball of radius ``eps`` around ``center``, then into [0, 1].

    For l_inf this is the nearest point of the intersection. For l_2 and l_1 ball and box are applied in turn, which
    gives a point of both (moving into the box never moves away from a centre that lies in it), not always the nearest.
    "In the ball" holds up to the rounding of ``center + perturbation``.

    Args:
        images: (N, ...) points to move.
        center: (N, ...) clean images in [0, 1].
        norm: ``"linf"``, ``"l2"`` or ``"l1"``.
        eps: radius in [0, 1] pixel units, >= 0.

    Returns:
        (N, ...) points in the ball and in [0, 1].

    >>> project(torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.0]]), "linf", 0.25)
    tensor([[0.7500, 0.1000]])
    """
    return (center + into_ball(images - center, norm, eps)).clamp(0, 1)


def into_ball(perturbation: Tensor, norm: Norm, eps: float) -> Tensor:
    """The nearest perturbations (N, ...) of length ``eps`` at most.

    >>> into_ball(torch.tensor([[3.0, 4.0], [0.3, 0.4]]), "l2", 1.0)
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    >>> into_ball(torch.tensor([[3.0, -4.0], [0.3, 0.4]]), "l1", 3.0)
    tensor([[ 1.0000, -2.0000],
            [ 0.3000,  0.4000]])
    """
    if norm == "linf":
        return perturbation.clamp(-eps, eps)
    if norm == "l1":
        return _into_l1_ball(perturbation.flatten(1), eps).view_as(perturbation)
    lengths = image_norm(perturbation, 2).reshape(_per_image_shape(perturbation))
    return perturbation * torch.where(lengths > eps, eps / lengths, 1.0)


def _into_l1_ball(flat: Tensor, eps: float) -> Tensor:
    """Every value nearer to 0 by the same length, as far as it goes (Duchi et al., ICML 2008, figure 1)."""
    sizes = flat.abs()
    if eps == 0 or flat.numel() == 0:
        return torch.zeros_like(flat)
    falling = sizes.sort(dim=1, descending=True).values
    surplus = (falling.cumsum(dim=1) - eps) / torch.arange(1, flat.shape[1] + 1, device=flat.device)
    kept = (falling > surplus).sum(dim=1, keepdim=True).clamp(min=1)
    length = surplus.gather(1, kept - 1).clamp(min=0)
    return flat.sign() * (sizes - length).clamp(min=0)


def uniform_start(center: Tensor, norm: Norm, eps: float, generator: torch.Generator) -> Tensor:
    """Points drawn uniformly from the ball around ``center``, then moved into [0, 1].

    In l_2 the direction is a normalised Gaussian and the radius eps * u^(1/d) with u uniform in [0, 1], where d is
    the number of values of an image.

    Args:
        center: (N, ...) clean images in [0, 1].
        norm: ``"linf"`` or ``"l2"``.
        eps: radius in [0, 1] pixel units.
        generator: the only source of random numbers; drawn on its own device, then moved to that of ``center``, so
            that a CPU generator gives the same points on every device.

    Returns:
        (N, ...) points in the ball and in [0, 1].
    """

    def draw(of: Callable[..., Tensor]) -> Callable[[Sequence[int]], Tensor]:
        return partial(of, generator=generator, device=generator.device, dtype=center.dtype)

    if norm == "linf":
        uniform = per_image(draw(torch.rand), center.shape)
        perturbation = (2 * uniform - 1) * eps
    else:
        direction = steepest_step(per_image(draw(torch.randn), center.shape), "l2")
        share = per_image(draw(torch.rand), _per_image_shape(center))
        perturbation = direction * eps * share ** (1 / center[0].numel())
    return (center + perturbation.to(center.device)).clamp(0, 1)


def _per_image_shape(images: Tensor) -> tuple[int, ...]:
    """(N, 1, 1, ...), to multiply each image by its own number."""
    return (images.shape[0], *[1] * (images.ndim - 1))
