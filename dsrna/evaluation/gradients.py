"""Whether a network's gradients say where its loss rises, which attacks by gradients take for granted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.attacks import frozen
from dsrna.evaluation.masking import FEWEST, LEVEL, entry
from dsrna.functional.margins import margin
from dsrna.functional.norms import steepest_step
from dsrna.functional.seeding import generator
from dsrna.types import Norm, Threat

PROBED = 100
"""So many of the first images that the network gets right are looked at."""

STEP = 0.1
"""Of eps: how far a probe goes."""

TOLERATED = 0.05
"""Share of images whose gradient may be exactly zero, or no number."""

_SURFACES, _SIDE = 3, 17


def gradient_checks(
    model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int, unless: str | None = None
) -> list[dict[str, str]]:
    """Two checks for gradient masking that look at the network itself, not at attacks.

    ``gradients``: the cross-entropy's gradient to the image is finite and isn't exactly zero, where PGD and FGSM stand
    still, on all but 5 % of the images. ``uphill``: a step of eps / 10 along the gradient of the margin raises the
    attack's goal, max_{j != y} f_j - f_y, more than one of the same length in a random direction; on more images than
    chance allows (one-sided exact sign test, 1 %).

    Cost: two forward and backward passes and two forward passes over ``x``.

    Args:
        model: network (N, C, H, W) -> logits (N, K).
        x: (N, C, H, W) images in [0, 1] that it gets right.
        y: (N,) their classes.
        threat: the ball.
        seed: of the random directions.
        unless: why no check can be made of this network; None where one can.

    Returns:
        An entry as of :func:`dsrna.evaluation.masking.masking_checks` for each.

    References:
        Athalye et al., Obfuscated Gradients Give a False Sense of Security, ICML 2018, sections 3 and 4.
    """
    reason = unless
    if reason is None and len(x) < FEWEST:
        reason = f"too few images: {len(x)} are correct without attack, expected at least {FEWEST}"
    if reason is not None:
        return [entry(check, "not run", reason) for check in ("gradients", "uphill")]
    with frozen(model):
        x = x.detach().clone()
        return [_alive(model, x, y), _uphill(model, x, y, threat, seed)]


def loss_surface(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> dict[str, Any] | None:
    """Margins on a plane through each of the first three images: along the gradient, and along a random direction.

    Returns:
        ``{"norm", "eps", "steps": S numbers from -1 to 1, "margins": [for each image S rows of S margins f_y -
        max_{j != y} f_j]}``: row r, column c is at x + eps * (steps[c] * g + steps[r] * d), cut to [0, 1], where g is
        the direction of unit length that the gradient says lowers the margin most, d a random one; None without images
        or in a ball of radius 0.
    """
    if len(x) == 0 or threat.eps == 0:
        return None
    with frozen(model):
        x, y = x[:_SURFACES].detach().clone(), y[:_SURFACES]
        along, aside = _gradient_direction(model, x, y, threat.norm), _random_direction(x, threat.norm, seed)
        steps = torch.linspace(-1, 1, _SIDE).tolist()
        right = torch.tensor(steps).to(x).view(-1, 1, 1, 1, 1)
        with torch.no_grad():
            rows = [_margins(model, (x + threat.eps * (right * along + up * aside)).clamp(0, 1), y) for up in steps]
    margins = torch.stack(rows).permute(2, 0, 1)
    rounded = [[[float(f"{value:.4g}") for value in row] for row in image] for image in margins.tolist()]
    return {"norm": threat.norm, "eps": threat.eps, "steps": steps, "margins": rounded}


def _margins(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """(S, N) margins of (S, N, C, H, W) images of (N,) classes, by one forward pass."""
    return margin(model(x.flatten(0, 1)), y.repeat(len(x))).float().cpu().unflatten(0, x.shape[:2])


def _alive(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, str]:
    gradient = _gradient(model, x, lambda logits: F.cross_entropy(logits, y, reduction="none"))
    flat = gradient.flatten(1)
    broken = int((~flat.isfinite().all(dim=1)).sum())
    gone = int((flat == 0).all(dim=1).sum())
    numbers = (
        f"of {len(x):,} images that are correct without attack, the cross-entropy's gradient is exactly zero on "
        f"{gone:,} and not finite on {broken:,}"
    )
    if gone + broken <= TOLERATED * len(x):
        return entry("gradients", "passed", numbers)
    return entry(
        "gradients",
        "failed",
        f"{numbers}. Attacks by gradients stand still there, whether or not the image can be broken: robustness under "
        "them is overestimated.",
    )


def _uphill(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> dict[str, str]:
    length = STEP * threat.eps
    if length == 0:
        return entry("uphill", "not run", "a ball of radius 0 has no directions")
    along, aside = _gradient_direction(model, x, y, threat.norm), _random_direction(x, threat.norm, seed)
    with torch.no_grad():
        risen, by_chance = (-margin(model((x + length * way).clamp(0, 1)), y) for way in (along, aside))
    better = int((risen > by_chance).sum())
    numbers = (
        f"on {better:,} of {len(x):,} images a step of eps / {1 / STEP:.0f} along the gradient gets further than "
        "one in a random direction"
    )
    from scipy.stats import binomtest

    if binomtest(better, len(x), 0.5, alternative="greater").pvalue < LEVEL:
        return entry("uphill", "passed", numbers)
    return entry(
        "uphill",
        "failed",
        f"{numbers}, which is no more than chance. The gradients don't say where the loss rises: robustness under "
        "attacks by gradients is overestimated.",
    )


def _gradient(model: nn.Module, x: Tensor, loss: Any) -> Tensor:
    """(N, …) of each image's loss; zeros where the network doesn't depend on the image differentiably."""
    images = x.clone().requires_grad_()
    logits = model(images)
    if not logits.requires_grad:
        return torch.zeros_like(x)
    (gradient,) = torch.autograd.grad(loss(logits).sum(), images, allow_unused=True)
    return torch.zeros_like(x) if gradient is None else gradient


def _gradient_direction(model: nn.Module, x: Tensor, y: Tensor, norm: Norm) -> Tensor:
    return steepest_step(_gradient(model, x, lambda logits: -margin(logits, y)).nan_to_num(0, 0, 0), norm)


def _random_direction(x: Tensor, norm: Norm, seed: int) -> Tensor:
    """Of unit length, as the gradient's is: corners of the l_inf ball, points of the l_2 sphere."""
    drawn = torch.randn(x.shape, generator=generator(seed, "random direction"))
    return steepest_step(drawn, norm).to(x)
