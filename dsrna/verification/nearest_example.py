"""The nearest misclassified point that attacks find."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dsrna.attacks import frozen
from dsrna.types import Norm, Threat
from dsrna.verification.bisection import FIRST_RADIUS, largest_radius
from dsrna.verification.settings import Verification

HALVINGS = 10
"""Of the way from the image to an example: afterwards the distance is known to a thousandth of it."""


class Examples(NamedTuple):
    """Misclassified points.

    Attributes:
        points: (N, C, H, W); where none was found, the image itself.
        distance: (N,) float64 from the images; infinity where none was found.
    """

    points: Tensor
    distance: Tensor


def nearest_examples(model: nn.Module, x: Tensor, y: Tensor, settings: Verification, seed: int) -> Examples:
    """Attacks every image in growing balls until one attack succeeds, then walks back towards the image.

    The radii are those of the settings; where radii are wanted they are doubled further, up to the ball that holds all
    images. Between an image and an example, bisection finds a point at which the network's answer changes.

    The distances are upper bounds of each image's distance to the decision boundary. They know nothing of the proofs.

    Args:
        model: network (N, C, H, W) -> logits (N, K).
        x: (N, C, H, W) correctly classified images in [0, 1].
        y: (N,) true classes.
        settings: norm, radii, attack.
        seed: of random starts, which all radii share.
    """
    points, distance = x.clone(), torch.full((len(x),), torch.inf, dtype=torch.float64)
    for eps in _radii(settings, x):
        standing = distance.isinf().nonzero()[:, 0]
        if len(standing) == 0:
            break
        place = standing.to(x.device)
        threat = Threat(settings.norm, eps)
        examples, correct = settings.attack.examples(model, x[place], y[place], threat, seed)
        broken = place[~correct]
        points[broken] = _walked_back(model, x[broken], y[broken], examples[~correct])
        # The sum of image and perturbation is rounded, so that an example may seem to lie a bit outside the ball.
        distance[broken.cpu()] = distances(points[broken], x[broken], settings.norm).clamp(max=eps)
    return Examples(points, distance)


def _radii(settings: Verification, x: Tensor) -> Iterator[float]:
    largest = largest_radius(settings.norm, x)
    yield from settings.eps
    if settings.radius:
        eps = settings.eps[-1] if settings.eps else FIRST_RADIUS / 2
        while eps < largest:
            eps = min(2 * eps, largest)
            yield eps


def _walked_back(model: nn.Module, x: Tensor, y: Tensor, examples: Tensor) -> Tensor:
    """The nearest misclassified point that bisection finds on the way from each image to its example."""
    right, wrong = torch.zeros_like(x[:, :1, :1, :1]), torch.ones_like(x[:, :1, :1, :1])
    nearest = examples
    with frozen(model), torch.no_grad():
        for _ in range(HALVINGS if len(x) else 0):
            middle = (right + wrong) / 2
            points = x + middle * (examples - x)
            is_wrong = (model(points).argmax(dim=1) != y)[:, None, None, None]
            nearest = torch.where(is_wrong, points, nearest)
            right, wrong = torch.where(is_wrong, right, middle), torch.where(is_wrong, middle, wrong)
    return nearest


def distances(points: Tensor, x: Tensor, norm: Norm) -> Tensor:
    """(N,) float64 distances of points from images, without rounding beforehand."""
    difference = (points.double() - x.double()).flatten(1).cpu()
    return difference.abs().amax(dim=1) if norm == "linf" else difference.norm(dim=1)
