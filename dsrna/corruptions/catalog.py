"""All corruptions by name, and the one function that applies them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dsrna.corruptions import blur, digital, noise, weather
from dsrna.corruptions.jpeg import jpeg_compression
from dsrna.corruptions.levels import truncated
from dsrna.errors import ConfigError, DataError

SEVERITIES = (1, 2, 3, 4, 5)
SMALLEST_SIDE = 16
"""In pixels: half of what the severities are made for; below it a blur of one pixel is no longer a mild corruption."""

FIXED: dict[str, Callable[[Tensor, int], Tensor]] = {
    "brightness": digital.brightness,
    "contrast": digital.contrast,
    "defocus_blur": blur.defocus_blur,
    "gaussian_blur": blur.gaussian_blur,
    "jpeg_compression": jpeg_compression,
    "pixelate": digital.pixelate,
    "saturate": digital.saturate,
    "zoom_blur": blur.zoom_blur,
}
RANDOM: dict[str, Callable[[Tensor, int, torch.Generator], Tensor]] = {
    "elastic_transform": digital.elastic_transform,
    "fog": weather.fog,
    "frost": weather.frost,
    "gaussian_noise": noise.gaussian_noise,
    "glass_blur": blur.glass_blur,
    "impulse_noise": noise.impulse_noise,
    "motion_blur": blur.motion_blur,
    "shot_noise": noise.shot_noise,
    "snow": weather.snow,
    "speckle_noise": noise.speckle_noise,
}
EXTRA = ("gaussian_blur", "saturate", "speckle_noise")
"""Corruptions that CIFAR-10-C has beside its fifteen, for choosing settings; its fourth, spatter, is not here."""
CORRUPTIONS = tuple(sorted((FIXED | RANDOM).keys() - set(EXTRA)))
"""The fifteen corruptions of the benchmark."""


def corrupt(x: Tensor, name: str, severity: int, generator: torch.Generator) -> Tensor:
    """The images under one corruption, as bytes would hold them: values k / 255, cut off, as published.

    Severities are those of CIFAR-10-C, which is made for 32 x 32 pixels; lengths in pixels do not grow with the image.
    Not differentiable.

    Args:
        x: (N, C, H, W) floating point in [0, 1]; C is 1 or 3, H and W at least 16.
        name: one of :data:`CORRUPTIONS` or :data:`EXTRA`.
        severity: 1 (mild) to 5.
        generator: what random corruptions draw from, on any device; the result is the same wherever x lives, up to
            rounding.

    Returns:
        New images of the shape, type and device of x.

    Raises:
        ConfigError: the name or the severity is unknown.
        DataError: x is not a batch of images as above.

    Reference: Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations
    (ICLR 2019), appendix A.
    """
    check(name, severity)
    if x.ndim != 4 or not x.is_floating_point():
        raise DataError(
            f"Expected floating-point images (N, C, H, W), got {x.dtype} {tuple(x.shape)}. Divide bytes by 255."
        )
    check_images((name,), tuple(x.shape[1:]))
    if x.numel() and not (x.amin() >= 0 and x.amax() <= 1):
        raise DataError(
            f"Expected images in [0, 1], got values in [{x.amin():.4g}, {x.amax():.4g}]. "
            "Corrupt before normalising; normalisation is the network's first layer."
        )
    with torch.no_grad():
        changed = FIXED[name](x, severity) if name in FIXED else RANDOM[name](x, severity, generator)
        return truncated(changed)


def check_images(names: Sequence[str], shape: tuple[int, ...]) -> None:
    """Raises DataError unless images of shape (C, H, W) can be corrupted so."""
    channels, height, width = shape
    if channels not in (1, 3) or (channels == 1 and "saturate" in names):
        needed = "3 channels, since grey has no saturation," if channels == 1 else "1 or 3 channels"
        raise DataError(f"Expected images with {needed} to corrupt, got {channels}.")
    if min(height, width) < SMALLEST_SIDE:
        raise DataError(
            f"Expected images of at least {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels to corrupt, got {height} x {width}. "
            "The severities are made for 32 x 32."
        )


def check(name: str, severity: int) -> None:
    """Raises ConfigError unless there is a corruption ``name`` with ``severity``."""
    known = sorted(FIXED | RANDOM)
    if name not in known:
        nearest = difflib.get_close_matches(str(name), known, 1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise ConfigError(f"Expected a corruption out of {', '.join(known)}, got {name!r}.{hint}")
    if severity not in SEVERITIES or isinstance(severity, bool):
        raise ConfigError(f"Expected a severity out of 1, 2, 3, 4, 5 for corruption {name!r}, got {severity!r}.")
