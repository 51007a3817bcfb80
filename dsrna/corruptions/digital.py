"""Changes of colour and of form: brightness, contrast, saturation, large pixels, elastic distortion.

Severities and conventions as in :mod:`dsrna.corruptions.noise`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dsrna.corruptions.draws import uniform
from dsrna.corruptions.levels import rounded
from dsrna.corruptions.resampling import box_resized, gaussian_filter

BRIGHTNESS = (0.05, 0.1, 0.15, 0.2, 0.3)
"""What is added to the value of hue, saturation and value."""
CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)
"""What is left of the distance from the mean colour."""
SATURATE = ((0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2))
"""Factor and summand of the saturation."""
PIXELATE = (0.95, 0.9, 0.85, 0.75, 0.65)
"""Share of the side that is left."""
ELASTIC = ((0.0, 0.0, 2.56), (1.6, 6.4, 2.24), (2.56, 1.92, 1.92), (3.2, 1.28, 1.6), (3.2, 0.96, 0.96))
"""Amplitude and smoothness of the displacements, and how far the corners of the affine map move, in pixels."""


def brightness(x: Tensor, severity: int) -> Tensor:
    """The largest channel grows, and the others with it, so that hue and saturation stay."""
    value = x.amax(1, keepdim=True)
    brighter = (value + BRIGHTNESS[severity - 1]).clamp(max=1)
    return torch.where(value > 0, x * brighter / value, brighter)


def contrast(x: Tensor, severity: int) -> Tensor:
    """The distance of every pixel from the image's mean colour shrinks."""
    mean = x.mean((2, 3), keepdim=True)
    return mean + CONTRAST[severity - 1] * (x - mean)


def saturate(x: Tensor, severity: int) -> Tensor:
    """Saturation is scaled and shifted; hue and value stay. A grey pixel has the hue of red. x has three channels."""
    factor, summand = SATURATE[severity - 1]
    value = x.amax(1, keepdim=True)
    distance = value - x
    chroma = distance.amax(1, keepdim=True)
    saturation = torch.where(value > 0, chroma / value, 0.0)
    wanted = (factor * saturation + summand).clamp(0, 1) * value
    red = x.new_tensor([0.0, 1.0, 1.0])[:, None, None]
    return value - wanted * torch.where(chroma > 0, distance / chroma, red)


def pixelate(x: Tensor, severity: int) -> Tensor:
    """Resized to fewer pixels and back, each time by the mean over the box that a pixel covers."""
    height, width = x.shape[-2:]
    share = PIXELATE[severity - 1]
    return box_resized(box_resized(rounded(x), int(height * share), int(width * share)), height, width)


def elastic_transform(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """A random affine map, then smooth random displacements of the pixels, both bilinear.

    The affine map takes three corners of a square around the middle to places that differ from theirs by up to a given
    distance in both directions.
    """
    amplitude, sigma, distance = ELASTIC[severity - 1]
    rows, columns = affine_positions(x, uniform((len(x), 3, 2), -distance, distance, generator, x))
    moved = _sampled(x, rows, columns, align_corners=True)
    if amplitude == 0:
        return moved
    shifts = gaussian_filter(uniform((2, *rows.shape), -1.0, 1.0, generator, x), sigma, truncate=3, mirrored=True)
    right, down = amplitude * shifts
    rows, columns = _grid(x)
    return _sampled(moved, rows + down, columns + right, align_corners=False)


def affine_positions(x: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns (N, H, W) that the pixels of the mapped images come from.

    Args:
        x: (N, C, H, W).
        offsets: (N, 3, 2) right and down, how far the corners move that lie down right, up right and up left.
    """
    height, width = x.shape[-2:]
    size = min(height, width) // 3
    signs = x.new_tensor([[1, 1], [1, -1], [-1, -1]])
    corners = x.new_tensor([width // 2, height // 2]) + size * signs  # (3, 2), right and down
    ones = x.new_ones(len(x), 3, 1)
    back = torch.linalg.solve(torch.cat([corners + offsets, ones], 2), corners.expand_as(offsets))  # (N, 3, 2)
    rows, columns = _grid(x)
    here = torch.stack([columns, rows, torch.ones_like(rows)], -1)  # (H, W, 3)
    source = torch.einsum("hwk,nkd->dnhw", here, back)
    return source[1], source[0]


def _grid(x: Tensor) -> tuple[Tensor, Tensor]:
    rows, columns = (torch.arange(length, device=x.device, dtype=x.dtype) for length in x.shape[-2:])
    return torch.meshgrid(rows, columns, indexing="ij")  # type: ignore[return-value]


def _sampled(x: Tensor, rows: Tensor, columns: Tensor, align_corners: bool) -> Tensor:
    """Bilinear samples; outside, images are mirrored about the outermost pixels or, not aligned, about their edges."""
    height, width = x.shape[-2:]
    if align_corners:
        grid = torch.stack([2 * columns / (width - 1) - 1, 2 * rows / (height - 1) - 1], -1)
    else:
        grid = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], -1)
    return functional.grid_sample(x, grid, padding_mode="reflection", align_corners=align_corners)
