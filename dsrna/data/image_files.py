"""Pixels of image files as a viewer shows them: upright, on white where they are transparent, in [0, 1]."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dsrna.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION = 258, 262, 274
"""Tags of TIFF, the last one of EXIF too."""
_DAMAGE = (OSError, ValueError, SyntaxError, KeyError, TypeError, IndexError, OverflowError, AttributeError)
_WHITE_IS_ZERO = 0
_UPRIGHT = 1


def read_image(file: str, resize: int, side: int) -> Tensor:
    """One image file as float32 (3, side, side) in [0, 1].

    It is turned as its EXIF orientation says, and laid on white where it is transparent. Palettes, grey, CMYK and black
    and white become RGB; 16-bit grey and floating-point grey keep their precision. Colour profiles are not applied. The
    shorter side is resized (bilinear, antialiased), and the centre square is cut out.

    Args:
        file: path.
        resize: length of the shorter side before cropping, in pixels, >= ``side``.
        side: of the square, in pixels.

    Raises:
        DataError: the file isn't a readable image, or its values have no known range; the message has no path.
    """
    from PIL import Image, ImageOps
    from torchvision.transforms import functional

    try:
        with Image.open(file) as opened:
            if opened.format == "TIFF" and getattr(opened, "n_frames", 1) > 1:
                raise DataError("Expected one image a file, got a TIFF of several pages. Write each to its own file.")
            opened.load()  # which turns a TIFF
            shown = _shown(opened)
            shown.getexif()[_ORIENTATION] = _orientation(opened)
            upright = ImageOps.exif_transpose(shown)
        square = functional.center_crop(functional.resize(upright, [resize]), [side, side])
        pixels = functional.pil_to_tensor(square)
    except DataError:
        raise
    except Exception as error:  # damaged bytes make Pillow's decoders fail in any way
        raise DataError(f"Expected a readable image, got {type(error).__name__}: {error}.") from error
    if pixels.dtype == torch.uint8:
        return pixels.float().div_(255)
    return pixels.clamp(0, 1).expand(3, -1, -1)  # interpolation overshoots by rounding alone


def _shown(image: Image) -> Image:
    """The same image as RGB, or as floating-point grey in [0, 1] where 8 bits would not hold it."""
    import PIL.Image

    if image.mode == "F" or image.mode.startswith("I"):
        return PIL.Image.fromarray(_deep_grey(image))
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        seen = image.convert("RGBA")
        return PIL.Image.alpha_composite(PIL.Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
    return image.convert("RGB")


def _orientation(image: Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, _UPRIGHT))
    except (*_DAMAGE, struct.error):  # many cameras and editors wrote damaged EXIF around whole pixels
        return _UPRIGHT


def _deep_grey(image: Image) -> np.ndarray:
    """(H, W) float32 in [0, 1] of an image with more than 8 bits a pixel."""
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    values = np.asarray(image).astype(np.float32)
    if image.mode == "F":
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):
            raise DataError(f"Expected floating-point values in [0, 1], got them in [{low:.4g}, {high:.4g}].")
    elif image.mode.startswith("I;16") or image.format in ("PNG", "PPM"):  # Pillow scales a PGM to 16 bits
        bits = int(tags.get(_BITS_PER_SAMPLE, (16,))[0])
        values /= 2**bits - 1
    else:
        raise DataError("Expected integers of at most 16 bits, got 32-bit ones, whose white isn't known.")
    return 1 - values if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else values
