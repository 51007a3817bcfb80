"""Images as bytes: the published corruptions pass through 8-bit images, some of them more than once."""

from __future__ import annotations

from torch import Tensor


def truncated(x: Tensor) -> Tensor:
    """``floor(255 x) / 255`` of x clipped to [0, 1]: what a cast to bytes leaves of an image.

    A level k / 255 stays itself: the small shift makes up for its rounding in single precision.
    """
    return (x.clamp(0, 1) * 255 + 1e-3).floor() / 255


def rounded(x: Tensor) -> Tensor:
    """The nearest levels k / 255 of x clipped to [0, 1]: what an image file keeps."""
    return (x.clamp(0, 1) * 255).round() / 255
