"""Networks whose robustness has a closed form, written so deep that bounds don't see it."""

from __future__ import annotations

import torch
from scores import score
from torch import Tensor, nn

from dsrna.functional.seeding import generator
from dsrna.progress import Progress

SIDE, CLASSES, IMAGES = 8, 10, 32
DEPTHS = (0, 1, 2, 3)
SENSITIVITIES = tuple(10 ** (power / 6) for power in range(-6, 7))


def measure_all(seed: int) -> list[dict]:
    """One record a network: ``depth``, ``scores``, and the true ``radius``, mean over the images."""
    with Progress("toys", len(DEPTHS) * len(SENSITIVITIES)) as progress:
        records = []
        for depth in DEPTHS:
            for number, sensitivity in enumerate(SENSITIVITIES):
                records.append(measure(depth, number, sensitivity, seed))
                progress.advance(1, {"radius": records[-1]["radius"]})
    return records


def measure(depth: int, number: int, sensitivity: float, seed: int) -> dict:
    """All these networks have the same logits at every image; a larger ``sensitivity`` only shows between them."""
    draw = generator(seed, "toy images")
    # Away from 0 and 1, so that the radii, all below 0.25, are those of whole balls.
    x = 0.25 + 0.5 * torch.rand(IMAGES, 1, SIDE, SIDE, generator=draw, dtype=torch.float64)
    images = x.flatten(1)
    weight, noise = torch.randn(2, CLASSES, SIDE * SIDE, generator=draw, dtype=torch.float64)
    weight = weight + sensitivity * (noise - noise @ torch.linalg.pinv(images) @ images)
    y = (images @ weight.T).argmax(1)
    model = deep(weight, depth, generator(seed, "toy layers", depth, number))
    return {"depth": depth, "scores": score(model, x, y), "radius": true_radii(weight, images, y).mean().item()}


def true_radii(weight: Tensor, images: Tensor, y: Tensor) -> Tensor:
    """(N,) l_inf radii of a linear network: min_j (f_y - f_j) / ||w_y - w_j||_1."""
    logits = images @ weight.T
    gaps = logits.gather(1, y[:, None]) - logits
    lengths = (weight[y][:, None] - weight[None]).abs().sum(dim=2)
    return (gaps / lengths).masked_fill(lengths == 0, torch.inf).amin(dim=1)


def deep(weight: Tensor, depth: int, draw: torch.Generator) -> nn.Sequential:
    """The linear network W x, through ``depth`` random rotations, each behind the identity relu(z) - relu(-z)."""
    layers: list[nn.Module] = [nn.Flatten()]
    size, turned, merge = weight.shape[1], weight, torch.eye(weight.shape[1], dtype=weight.dtype)
    for _ in range(depth):
        rotation = torch.linalg.qr(torch.randn(size, size, generator=draw, dtype=weight.dtype))[0]
        layers += [linear(torch.cat([rotation, -rotation]) @ merge), nn.ReLU()]
        turned = turned @ rotation.T
        merge = torch.cat([torch.eye(size, dtype=weight.dtype)] * 2, dim=1)
        merge[:, size:] *= -1
    return nn.Sequential(*layers, linear(turned @ merge)).eval()


def linear(weight: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
    layer.weight = nn.Parameter(weight)
    return layer
