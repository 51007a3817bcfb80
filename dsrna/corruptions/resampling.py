"""Filters and interpolation on images (..., H, W), with the edges that the published corruptions have."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gaussian_filter(x: Tensor, sigma: float, truncate: float = 4.0, mirrored: bool = False) -> Tensor:
    """Convolution with a normal density of standard deviation ``sigma`` pixels, cut off at ``truncate`` of them.

    Args:
        x: (..., H, W).
        sigma: >= 0; 0 changes nothing.
        truncate: in standard deviations.
        mirrored: whether the outside is the image mirrored about its edge, or its nearest pixel.
    """
    radius = int(truncate * sigma + 0.5)
    if radius == 0:
        return x
    offsets = torch.arange(-radius, radius + 1, device=x.device)
    kernel = torch.exp(-0.5 * (offsets.to(x.dtype) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    for dim in (-2, -1):
        length = x.shape[dim]
        taps = torch.arange(length, device=x.device)[:, None] + offsets  # (length, taps)
        if mirrored:
            taps = taps.remainder(2 * length)
            taps = torch.minimum(taps, 2 * length - 1 - taps)
        else:
            taps = taps.clamp(0, length - 1)
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


def box_resized(x: Tensor, height: int, width: int) -> Tensor:
    """Every new pixel is the mean of the old ones whose middle lies in its box, rounded to bytes after each axis.

    Args:
        x: (..., H, W) images of values k / 255.
        height, width: new size; an axis may grow, then pixels are repeated.
    """
    x = _rounded_up(torch.einsum("...hj,ij->...hi", x, _box_matrix(x.shape[-1], width, x)))
    return _rounded_up(torch.einsum("ij,...jw->...iw", _box_matrix(x.shape[-2], height, x), x))


def _rounded_up(x: Tensor) -> Tensor:
    """The nearest levels k / 255, the upper one where two are equally near, whatever single precision makes of it."""
    return (x * 255 + 0.5 + 1e-3).floor() / 255


def _box_matrix(old: int, new: int, like: Tensor) -> Tensor:
    """(new, old) weights: the same for all old pixels whose middle lies in a new one's box, at least a pixel wide.

    In the order of Pillow's operations, so that a middle on the edge of a box falls to the same side.
    """
    scale = old / new
    width = max(scale, 1.0)
    middles = ((torch.arange(new, dtype=torch.float64) + 0.5) * scale)[:, None]
    pixels = torch.arange(old, dtype=torch.float64)
    first, end = (middles - 0.5 * width + 0.5).floor(), (middles + 0.5 * width + 0.5).floor()
    place = (pixels - middles + 0.5) * (1 / width)
    covered = ((pixels >= first) & (pixels < end) & (place > -0.5) & (place <= 0.5)).double()
    return (covered / covered.sum(1, keepdim=True)).to(like)


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
