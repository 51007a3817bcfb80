"""Blur: out of focus, through glass, by motion, by zooming.

Severities and conventions as in :mod:`dsrna.corruptions.noise`.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from dsrna.corruptions.draws import uniform
from dsrna.corruptions.levels import rounded, truncated
from dsrna.corruptions.motion import motion_blurred
from dsrna.corruptions.resampling import gaussian_filter, zoomed

DEFOCUS = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1))
"""Radius of the disk in pixels, standard deviation that smooths its edge."""
GLASS = ((0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2))
"""Standard deviation in pixels, passes of displacing pixels."""
MOTION = ((6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5))
"""Radius, standard deviation in pixels."""
ZOOM = (7, 12, 16, 21, 26)
"""Number of zoom factors 1, 1.01, 1.02, …"""
GAUSSIAN = (0.4, 0.6, 0.7, 0.8, 1.0)
"""Standard deviation in pixels."""


def defocus_blur(x: Tensor, severity: int) -> Tensor:
    """Convolution with a disk whose edge is smoothed; outside, the images are mirrored about the outermost pixels."""
    radius, smoothing = DEFOCUS[severity - 1]
    offsets = torch.arange(-2, 3, dtype=torch.float64)
    disk = (offsets[:, None] ** 2 + offsets**2 <= radius**2).double()
    normal = torch.exp(-0.5 * (offsets[1:4] / smoothing) ** 2)
    normal = normal / normal.sum()
    kernel = functional.conv2d((disk / disk.sum())[None, None], (normal[:, None] * normal)[None, None], padding=1)
    height, width = x.shape[-2:]
    padded = functional.pad(x, (2, 2, 2, 2), mode="reflect")
    blurred = torch.zeros_like(x)  # a convolution on a GPU would round to ten bits
    for (down, right), weight in zip(product(range(5), repeat=2), kernel.flatten().tolist(), strict=True):
        if weight:
            blurred += weight * padded[..., down : down + height, right : right + width]
    return blurred


def glass_blur(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """A slight blur, then pixels replaced by a random one of themselves and their upper and left neighbours, a blur.

    Differs from the usual description, which exchanges pixels, as CIFAR-10-C does: the released code copies in one
    direction, and its displacements are -1 or 0. The two outermost rows and columns at the top and left stay.
    """
    sigma, passes = GLASS[severity - 1]
    images, _, height, width = x.shape
    x = truncated(gaussian_filter(x, sigma)).movedim(1, -1)
    rows = torch.arange(height, device=x.device)[:, None]
    columns = torch.arange(width, device=x.device)
    movable = (rows >= 2) & (columns >= 2)
    batch = torch.arange(images, device=x.device)[:, None, None]
    for _ in range(passes):
        up, left = (uniform((2, images, height, width), 0.0, 1.0, generator, x) < 0.5) & movable
        x = x[batch, rows - up.long(), columns - left.long()]
    return gaussian_filter(x.movedim(-1, 1), sigma)


def motion_blur(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """A blur along a direction between -45 and 45 degrees, one for each image."""
    radius, sigma = MOTION[severity - 1]
    return rounded(motion_blurred(x, radius, sigma, uniform((len(x),), -45.0, 45.0, generator, x)))


def zoom_blur(x: Tensor, severity: int) -> Tensor:
    """Mean of the image and of its middle enlarged by 1, 1.01, 1.02, …"""
    hundredth = 1.01 - 1  # a little too much, as in the published code: 1.25 becomes more, and is rounded up
    factors = [1 + step * hundredth for step in range(ZOOM[severity - 1])]
    return (x + torch.stack([zoomed(x, factor) for factor in factors]).sum(0)) / (len(factors) + 1)


def gaussian_blur(x: Tensor, severity: int) -> Tensor:
    """Convolution with a normal density; outside, the nearest pixel."""
    return gaussian_filter(x, GAUSSIAN[severity - 1])
