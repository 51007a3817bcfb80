"""Blur along a line, as by a moving camera or falling snow."""

from __future__ import annotations

import torch
from torch import Tensor


def motion_blurred(x: Tensor, radius: int, sigma: float, angles: Tensor) -> Tensor:
    """Mean of the pixels that lie ahead in one direction, weighted by half a normal density.

    With taps i = 0..2 radius, weights ``w_i`` proportional to ``exp(-i^2 / (2 sigma^2))`` and the nearest pixel to
    ``i (sin a, cos a)`` (down, right); outside the image, its nearest pixel. This is ImageMagick's motion blur, which
    CIFAR-10-C was made with.

    Args:
        x: (N, C, H, W).
        radius: in pixels.
        sigma: in pixels, > 0.
        angles: (N,) in degrees.

    Returns:
        (N, C, H, W).
    """
    height, width = x.shape[-2:]
    taps = torch.arange(2 * radius + 1, dtype=torch.float64, device=x.device)
    density = torch.exp(-(taps**2) / (2 * sigma**2))
    weights: list[float] = (density / density.sum()).tolist()
    radians = angles.to(device=x.device, dtype=torch.float64).deg2rad()[:, None]
    down = (taps * radians.sin() - 0.5).ceil().long()  # (N, taps)
    right = (taps * radians.cos() - 0.5).ceil().long()
    rows = torch.arange(height, device=x.device)
    columns = torch.arange(width, device=x.device)
    batch = torch.arange(len(x), device=x.device)[:, None, None]
    pixels = x.movedim(1, -1).contiguous()
    blurred = torch.zeros_like(pixels)
    for tap, weight in enumerate(weights):
        from_rows = (rows + down[:, tap, None]).clamp(0, height - 1)
        from_columns = (columns + right[:, tap, None]).clamp(0, width - 1)
        blurred += weight * pixels[batch, from_rows[:, :, None], from_columns[:, None, :]]
    return blurred.movedim(-1, 1)
