"""Weather: fog, frost, snow.

Severities and conventions as in :mod:`dsrna.corruptions.noise`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dsrna.corruptions.draws import normal, uniform
from dsrna.corruptions.levels import rounded, truncated
from dsrna.corruptions.motion import motion_blurred
from dsrna.corruptions.plasma import plasma
from dsrna.corruptions.resampling import zoomed

FOG = ((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75))
"""Thickness, decay of the clouds."""
FROST = ((1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))
"""Weight of the image, weight of the frost."""
SNOW = (
    (0.1, 0.2, 1.0, 0.6, 8, 3.0, 0.95),
    (0.1, 0.2, 1.0, 0.5, 10, 4.0, 0.9),
    (0.15, 0.3, 1.75, 0.55, 10, 4.0, 0.9),
    (0.25, 0.3, 2.25, 0.6, 12, 6.0, 0.85),
    (0.3, 0.3, 1.25, 0.65, 14, 12.0, 0.8),
)
"""Mean and deviation of the noise that flakes come from, its enlargement, the threshold above which it is a flake,
radius and deviation of their motion blur, weight of the image against a bleached one."""

_FROST_DECAY = 1.8
_FROST_TINT = (0.85, 0.93, 1.0)
_LUMA = (0.299, 0.587, 0.114)


def fog(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Clouds are added, and the sum is scaled so that the brightest value of the image stays what it was."""
    thickness, decay = FOG[severity - 1]
    height, width = x.shape[-2:]
    clouds = plasma(len(x), max(height, width), decay, generator, x)[:, None, :height, :width]
    brightest = x.amax((1, 2, 3), keepdim=True)
    return (x + thickness * clouds) * brightest / (brightest + thickness)


def frost(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """A weighted sum of the image and a texture of ice.

    Differs from CIFAR-10-C, whose textures are crops of five photographs: here they are the ridges of plasma clouds,
    bluish white. Results are comparable among networks, not with numbers on the published images.
    """
    kept, added = FROST[severity - 1]
    return kept * x + added * ice(x, generator)


def ice(x: Tensor, generator: torch.Generator) -> Tensor:
    """Textures of the shape of ``x``, in [0, 1]: ``0.25 + 0.75 (1 - |2 p - 1|)^2`` of plasma clouds p, tinted."""
    channels, height, width = x.shape[1:]
    clouds = plasma(len(x), max(height, width), _FROST_DECAY, generator, x)[:, None, :height, :width]
    ridges = 0.25 + 0.75 * (1 - (2 * clouds - 1).abs()) ** 2
    return ridges * x.new_tensor(_FROST_TINT)[:, None, None] if channels == 3 else ridges.expand_as(x)


def snow(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Flakes that fall, over a bleached image; the layer of flakes is added twice, the second time upside down."""
    mean, deviation, enlargement, threshold, radius, sigma, kept = SNOW[severity - 1]
    height, width = x.shape[-2:]
    flakes = zoomed(mean + deviation * normal((len(x), 1, height, width), generator, x), enlargement)
    flakes = truncated(torch.where(flakes < threshold, 0.0, flakes))
    angles = uniform((len(x),), -135.0, -45.0, generator, x)
    flakes = rounded(motion_blurred(flakes, radius, sigma, angles))
    grey = (x * x.new_tensor(_LUMA)[:, None, None]).sum(1, keepdim=True) if x.shape[1] == 3 else x
    bleached = torch.maximum(x, 1.5 * grey + 0.5)
    return kept * x + (1 - kept) * bleached + flakes + flakes.flip(2, 3)
