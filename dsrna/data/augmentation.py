"""Random crop, flip and cutout of a whole batch at once."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from dsrna.distributed.group import per_image
from dsrna.errors import ConfigError


class Augmentation:
    """Shifts, mirrors and cuts holes, with a draw of its own for every image.

    Crop: ``crop_padding`` black pixels are added on each side, and a window of the old size is cut out at a uniform
    place. Flip: left-right with probability 1/2. Cutout: a black square of side ``cutout`` around a pixel that is
    uniform over the image, less what lies outside. Differs from the released DARTS code: there cutout follows
    normalisation, so that its holes have the mean colour.

    All random numbers come from a CPU generator: they are the same whatever device the images are on.

    Args:
        crop_padding: pixels, >= 0; 0: no crop.
        horizontal_flip: whether to flip.
        cutout: side of the square in pixels, >= 0; 0: no cutout.

    Raises:
        ConfigError: a size is negative; or, when called, the margin or the square is larger than the image.

    Reference: T. DeVries, G. W. Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout",
    arXiv:1708.04552, 2017.
    """

    def __init__(self, crop_padding: int = 0, horizontal_flip: bool = False, cutout: int = 0) -> None:
        self.crop_padding = crop_padding
        self.horizontal_flip = horizontal_flip
        self.cutout = cutout
        for key, value in self._sizes().items():
            if value < 0:
                raise ConfigError(f"Expected a size of at least 0 pixels, got {value}. (conf: {key})")

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Augments ``x`` (N, C, H, W) with draws from the CPU ``generator``; ``x`` itself is left as it was."""
        count, channels, height, width = x.shape
        self.check_fits(height, width)
        rows = torch.arange(height).expand(count, height)
        columns = torch.arange(width).expand(count, width)
        if self.horizontal_flip:
            flip = per_image(partial(torch.randint, 2, generator=generator, dtype=torch.bool), (count, 1))
            columns = torch.where(flip, columns.flip(1), columns)
        if self.crop_padding:
            draw = partial(torch.randint, 2 * self.crop_padding + 1, generator=generator)
            offsets = per_image(draw, (2, count, 1), images=1)
            rows, columns = rows + offsets[0], columns + offsets[1]
        if self.horizontal_flip or self.crop_padding:
            padded = F.pad(x, [self.crop_padding] * 4)
            pixels = rows[:, :, None] * padded.shape[3] + columns[:, None, :]
            index = pixels.flatten(1).to(x.device)[:, None].expand(-1, channels, -1)
            x = padded.flatten(2).gather(2, index).unflatten(2, (height, width))
        if self.cutout:
            x = x.masked_fill(self._holes(count, height, width, generator).to(x.device), 0.0)
        return x

    def check_fits(self, height: int, width: int) -> None:
        """Raises ConfigError where images of this size are smaller than a margin or a square."""
        side = min(height, width)
        for key, value in self._sizes().items():
            if value > side:
                raise ConfigError(
                    f"Expected `{key.rpartition('.')[2]}` of at most the image's side, {side} pixels, got {value}. "
                    f"(conf: {key})"
                )

    def _sizes(self) -> dict[str, int]:
        return {"data.augmentation.crop_padding": self.crop_padding, "retrain.cutout": self.cutout}

    def _holes(self, count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
        """(N, 1, H, W), true inside each image's square."""
        inside = []
        for side in (height, width):
            first = per_image(partial(torch.randint, side, generator=generator), (count, 1)) - self.cutout // 2
            place = torch.arange(side)
            inside.append((place >= first) & (place < first + self.cutout))
        return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
