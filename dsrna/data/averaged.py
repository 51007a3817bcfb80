"""Images made smaller by averaging blocks of pixels."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from dsrna.data.images import ImageDataset, digest_of
from dsrna.data.source import Source
from dsrna.errors import ConfigError


class AveragedImages(ImageDataset):
    """Another data set's images, every b x b block of pixels replaced by its mean.

    The means are those of floats, not rounded to bytes. They are taken a batch at a time, which costs a tenth of a
    millisecond for 64 images of 32x32 pixels.

    Args:
        whole: where the images come from; their sides are multiples of ``block``.
        block: b, >= 1.
    """

    def __init__(self, whole: ImageDataset, block: int) -> None:
        channels, height, width = whole.shape
        super().__init__((channels, height // block, width // block), whole.classes, whole.labels)
        self.decodes = whole.decodes
        self._whole = whole
        self._block = block

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        x, y = self._whole.batch(indices)
        _, height, width = self.shape
        return x.unflatten(3, (width, self._block)).unflatten(2, (height, self._block)).mean((3, 5)), y

    def digest(self) -> str:
        return digest_of([self._whole.digest().encode(), f"blocks of {self._block}".encode()])


def averaged(source: Source, pixels: int | None) -> Source:
    """``source`` with images of ``pixels`` pixels on the shorter side; None, or as many as it has: as it is.

    Published statistics are left out: averaging makes deviations smaller.

    Raises:
        ConfigError: the images' sides aren't multiples of the blocks' that this takes.
    """
    height, width = source.train.shape[1:]
    short = min(height, width)
    if pixels is None or pixels == short:
        return source
    blocks = {short // b: b for b in range(1, short + 1) if height % b == 0 and width % b == 0}
    if pixels not in blocks:
        raise ConfigError(
            f"Expected `pixels` that images of {height}x{width} can be averaged to in whole blocks, "
            f"{', '.join(map(str, blocks))} or null for their own size, got {pixels}. (conf: data.pixels)"
        )
    block = blocks[pixels]
    train, test = AveragedImages(source.train, block), AveragedImages(source.test, block)
    return replace(
        source,
        origin=f"{source.origin}, averaged to {height // block}x{width // block} pixels",
        train=train,
        test=test,
        statistics=None,
        validation=None if source.validation is None else AveragedImages(source.validation, block),
    )
