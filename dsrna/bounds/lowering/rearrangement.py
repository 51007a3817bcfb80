"""Rearrangements of a map's values as convolutions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dsrna.bounds.lowering.kernels import Pads


class Rearrangement(NamedTuple):
    """A choice of channels, then a crop or padding of the map, then every stride-th row and column."""

    channels: Tensor  # (C',) int64
    stride: tuple[int, int]
    pads: Pads


class _Axis(NamedTuple):
    stride: int
    before: int
    after: int


def as_rearrangement(index: Tensor, shape: tuple[int, ...]) -> Rearrangement | None:
    """Reads where values went as one rearrangement; None where it isn't one.

    Args:
        index: (C', H', W') int64; 1 + the position of the value in the flattened map, or 0 for a zero.
        shape: (C, H, W) of the map.
    """
    _, height, width = shape
    if index.dim() != 3 or not bool((index > 0).any()):
        return None
    source = torch.where(index > 0, index - 1, -1)
    channels = (source.clamp(min=-1).div(height * width, rounding_mode="floor")).amax(dim=(1, 2))
    rows = torch.where(source < 0, -1, source % (height * width) // width).amax(dim=(0, 2))
    columns = torch.where(source < 0, -1, source % width).amax(dim=(0, 1))
    inside = (channels >= 0)[:, None, None] & (rows >= 0)[:, None] & (columns >= 0)
    expected = (channels[:, None, None] * height + rows[:, None]) * width + columns + 1
    vertical, horizontal = _axis(rows, height), _axis(columns, width)
    if bool((channels < 0).any()) or not torch.equal(torch.where(inside, expected, 0), index):
        return None
    if vertical is None or horizontal is None:
        return None
    return Rearrangement(
        channels,
        (vertical.stride, horizontal.stride),
        Pads(horizontal.before, horizontal.after, vertical.before, vertical.after),
    )


def _axis(positions: Tensor, length: int) -> _Axis | None:
    """Positions i * stride - before of an axis, -1 where that is outside of it."""
    known = (positions >= 0).nonzero()[:, 0].tolist()
    # Where only one position is inside, the length as stride keeps the others outside.
    apart = int(positions[known[1]] - positions[known[0]]) if len(known) > 1 else length
    stride = apart if len(positions) > 1 else 1
    if stride < 1:
        return None
    before = stride * known[0] - int(positions[known[0]])
    lined_up = torch.arange(len(positions), device=positions.device) * stride - before
    if not torch.equal(torch.where((lined_up >= 0) & (lined_up < length), lined_up, -1), positions):
        return None
    return _Axis(stride, before, stride * (len(positions) - 1) + 1 - length - before)
