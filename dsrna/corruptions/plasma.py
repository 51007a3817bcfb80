"""Clouds by the diamond-square algorithm."""

from __future__ import annotations

import torch
from torch import Tensor

from dsrna.corruptions.draws import uniform

_FIRST_AMPLITUDE = 100.0


def plasma(images: int, side: int, decay: float, generator: torch.Generator, like: Tensor) -> Tensor:
    """Fractal clouds with values that fill [0, 1], on a torus.

    Starting from one point, every round halves the distance of the points: the middle of a square is the mean of its
    four corners, then the middle of an edge the mean of its four neighbours, each plus a random number in
    ``[-a^2, a^2]``. The amplitude a is divided by ``decay`` after every round; a large decay gives smooth clouds.

    Args:
        images: how many.
        side: of the smallest square that is wanted; it is rounded up to a power of two.
        decay: > 1.
        generator: what is drawn from.
        like: whose type and device the clouds get.

    Returns:
        (images, S, S), S >= side.
    """
    step = 1 << (side - 1).bit_length()
    clouds = like.new_zeros(images, step, step)
    amplitude = _FIRST_AMPLITUDE
    while step >= 2:
        half = step // 2

        def varied(sums: Tensor, amplitude: float = amplitude) -> Tensor:
            return sums / 4 + uniform(sums.shape, -(amplitude**2), amplitude**2, generator, like)

        corners = clouds[:, ::step, ::step]
        across = corners + corners.roll(-1, 1)
        middles = varied(across + across.roll(-1, 2))
        clouds[:, half::step, half::step] = middles
        clouds[:, ::step, half::step] = varied(middles + middles.roll(1, 1) + corners + corners.roll(-1, 2))
        clouds[:, half::step, ::step] = varied(middles + middles.roll(1, 2) + corners + corners.roll(-1, 1))
        step, amplitude = half, amplitude / decay
    clouds = clouds - clouds.amin((1, 2), keepdim=True)
    return clouds / clouds.amax((1, 2), keepdim=True)
