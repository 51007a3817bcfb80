"""JPEG compression and decompression, as the usual library does it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

QUALITY = (80, 65, 58, 50, 40)
"""Of 100."""

_LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
_TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
_NUDGE = 1e-6
"""Decides ties as integer arithmetic does, which has no rounding errors on them."""


def jpeg_compression(x: Tensor, severity: int) -> Tensor:
    """What a JPEG file of a quality gives back.

    Colours as luma and two chromas, of which one value is kept for every 2 x 2 pixels (4:2:0); the cosine transform of
    8 x 8 blocks, divided by the standard tables and rounded; back, chromas interpolated between their places.

    Severities and conventions as in :mod:`dsrna.corruptions.noise`. Computed in double precision, rounded to bytes
    after every step as decoders do. The libraries' integer transforms are less exact, so that now and then a
    coefficient of theirs is rounded to the neighbouring multiple.

    Reference: ITU-T T.81, annexes A.3 and K.1.
    """
    quality = QUALITY[severity - 1]
    levels = (x.double() * 255).round()
    if x.shape[1] == 1:
        back = _coded(levels, _table(_LUMA_TABLE, quality, levels))
    else:
        luma, chroma = _to_ycbcr(levels)
        luma = _coded(luma, _table(_LUMA_TABLE, quality, levels))
        chroma = _coded(_halved(chroma), _table(_CHROMA_TABLE, quality, levels))
        height, width = levels.shape[2:]
        chroma = chroma[..., : (height + 1) // 2, : (width + 1) // 2]
        back = _to_rgb(luma, _doubled(chroma)[..., :height, :width])
    return (back / 255).to(x.dtype)


def _to_ycbcr(rgb: Tensor) -> tuple[Tensor, Tensor]:
    mixed = torch.einsum("ij,njhw->nihw", rgb.new_tensor(_TO_YCBCR), rgb)
    luma = (mixed[:, :1] + 0.5 + _NUDGE).floor()
    return luma, (mixed[:, 1:] + 128.5 - _NUDGE).floor().clamp(0, 255)


def _to_rgb(luma: Tensor, chroma: Tensor) -> Tensor:
    blue, red = (chroma - 128).split(1, 1)
    green = luma + (-0.344136286 * blue - 0.714136286 * red + 0.5).floor()
    return torch.cat([luma + (1.402 * red + 0.5).floor(), green, luma + (1.772 * blue + 0.5).floor()], 1).clamp(0, 255)


def _halved(planes: Tensor) -> Tensor:
    """Means of 2 x 2 pixels; a half is rounded down and up in turn along a row."""
    planes = _padded(planes, 2, 16)  # to whole blocks below only after halving, as encoders do
    sums = 4 * functional.avg_pool2d(planes, 2)
    bias = 1 + torch.arange(sums.shape[-1], device=planes.device) % 2
    return ((sums + bias) / 4).floor()


def _doubled(planes: Tensor) -> Tensor:
    """Twice as many rows and columns; a new value lies a quarter of the way to the neighbour on its side."""
    padded = functional.pad(planes, (1, 1, 1, 1), mode="replicate")
    near = 3 * padded[..., 1:-1, :]
    rows = torch.stack([near + padded[..., :-2, :], near + padded[..., 2:, :]], -2).flatten(-3, -2)
    near = 3 * rows[..., 1:-1]
    columns = torch.stack([near + rows[..., :-2] + 8, near + rows[..., 2:] + 7], -1).flatten(-2)
    return (columns / 16).floor()


def _coded(planes: Tensor, table: Tensor) -> Tensor:
    """(N, P, H, W) levels through transform, rounding and back."""
    height, width = planes.shape[-2:]
    blocks = _padded(planes, 8, 8).unfold(2, 8, 8).unfold(3, 8, 8) - 128  # (N, P, rows, columns, 8, 8)
    transform = _cosines(planes)
    coefficients = transform @ blocks @ transform.T / table
    kept = coefficients.sign() * (coefficients.abs() + 0.5 + _NUDGE).floor() * table
    back = (transform.T @ kept @ transform + 128.5 + _NUDGE).floor().clamp(0, 255)
    return back.permute(0, 1, 2, 4, 3, 5).flatten(4, 5).flatten(2, 3)[..., :height, :width]


def _padded(planes: Tensor, rows: int, columns: int) -> Tensor:
    """The last row and column repeated up to multiples of ``rows`` and ``columns``."""
    height, width = planes.shape[-2:]
    return functional.pad(planes, (0, -width % columns, 0, -height % rows), mode="replicate")


def _cosines(like: Tensor) -> Tensor:
    """(8, 8) orthonormal cosine transform, a frequency a row."""
    places = (torch.arange(8, dtype=torch.float64) + 0.5) * math.pi / 8
    rows = torch.cos(torch.arange(8, dtype=torch.float64)[:, None] * places) / 2
    rows[0] /= math.sqrt(2)
    return rows.to(like)


def _table(base: tuple[tuple[int, ...], ...], quality: int, like: Tensor) -> Tensor:
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((like.new_tensor(base) * scale + 50) / 100).floor().clamp(1, 255)
