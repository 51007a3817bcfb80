"""Filters and interpolation on images (..., H, W), with the edges that the published corruptions have."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gaussian_filter(x: Tensor, sigma: float) -> Tensor:
    """Convolution with a normal density of standard deviation ``sigma`` pixels, cut off at four of them.

    Outside the image, its nearest pixel.

    Args:
        x: (..., H, W).
        sigma: >= 0; 0 changes nothing.
    """
    radius = int(4 * sigma + 0.5)
    if radius == 0:
        return x
    offsets = torch.arange(-radius, radius + 1, device=x.device)
    kernel = torch.exp(-0.5 * (offsets.to(x.dtype) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    for dim in (-2, -1):
        length = x.shape[dim]
        taps = (torch.arange(length, device=x.device)[:, None] + offsets).clamp(0, length - 1)  # (length, taps)
        matrix = x.new_zeros(length, length).scatter_add_(1, taps, kernel.expand(length, -1))
        x = torch.einsum("ij,...jw->...iw", matrix, x) if dim == -2 else torch.einsum("ij,...hj->...hi", matrix, x)
    return x


def zoomed(x: Tensor, factor: float) -> Tensor:
    """The middle of the images, enlarged by ``factor`` to the same size, bilinear with the corner pixels aligned.

    Args:
        x: (..., H, W).
        factor: >= 1.
    """
    rows, columns = (_zoom_matrix(length, factor, x) for length in x.shape[-2:])
    return torch.einsum("ij,...jk,lk->...il", rows, x, columns)


def _zoom_matrix(length: int, factor: float, like: Tensor) -> Tensor:
    """(length, length) matrix that cuts out and enlarges along one axis."""
    cut = math.ceil(length / factor)
    enlarged = round(cut * factor)
    first = (length - cut) // 2
    position = torch.arange(length, dtype=torch.float64) + (enlarged - length) // 2
    source = position * (cut - 1) / (enlarged - 1)
    below = source.floor().clamp(max=cut - 2)
    matrix = torch.zeros(length, length, dtype=torch.float64)
    index = first + below.long()[:, None]
    fraction = (source - below)[:, None]
    return matrix.scatter_(1, index, 1 - fraction).scatter_(1, index + 1, fraction).to(like)
