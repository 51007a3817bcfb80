"""The skeleton that supernet and derived network share: image shape, stem, number and widths of cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

from dsrna.errors import ConfigError
from dsrna.nn.cell_shape import CellShape
from dsrna.nn.normalize import Normalize
from dsrna.spaces.darts.stems import CifarStem, ImagenetStem

StemName = Literal["cifar", "imagenet"]

CELL_TYPES = ("normal", "reduce")


@dataclass(frozen=True)
class Skeleton:
    """Sizes of a network of stacked cells. Reduction cells stand at cells // 3 and 2 * cells // 3, counted from 0.

    Attributes:
        shape: (C, H, W) of the images.
        classes: K, number of classes.
        cells: number of cells.
        channels: channels of a node in the first normal cell; every reduction cell doubles them.
        stem: "cifar" keeps the map size, "imagenet" divides it by 8.
        stem_multiplier: the cifar stem has this times ``channels`` channels.
        mean, std: one number a channel in [0, 1] pixel units, or None for 0 and 1.

    Raises:
        ConfigError: a size is out of range, or the images are too small to be halved that often.
    """

    shape: tuple[int, int, int]
    classes: int
    cells: int
    channels: int
    stem: StemName = "cifar"
    stem_multiplier: int = 3
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ConfigError(f"Expected image `shape` (channels, height, width), each >= 1, got {self.shape}.")
        for name, least in (("classes", 2), ("cells", 1), ("channels", 2), ("stem_multiplier", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"Expected `{name}` >= {least}, got {getattr(self, name)}.")
        if self.stem not in ("cifar", "imagenet"):
            raise ConfigError(f"Expected `stem` to be 'cifar' or 'imagenet', got {self.stem!r}.")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None and len(values) != self.shape[0]:
                raise ConfigError(
                    f"Expected `{name}` with one number for each of the images' {self.shape[0]} channels, got {values}."
                )
        smallest = 2 ** (self._stem_halvings + len(self.reductions))
        if min(self.shape[1:]) < smallest:
            raise ConfigError(
                f"Expected images of at least {smallest} x {smallest} pixels for the {self.stem} stem and "
                f"{len(self.reductions)} reduction cells, got {self.shape[1]} x {self.shape[2]}; "
                "use larger images or fewer `cells`."
            )

    @property
    def reductions(self) -> tuple[int, ...]:
        """Positions of the reduction cells, in ascending order; one where both rules give the same cell."""
        return tuple(sorted({self.cells // 3, 2 * self.cells // 3}))

    @property
    def cell_types(self) -> tuple[str, ...]:
        """Type of each cell, "normal" or "reduce"."""
        return tuple("reduce" if position in self.reductions else "normal" for position in range(self.cells))

    @property
    def auxiliary_position(self) -> int:
        """Position of the cell whose output the auxiliary head reads: the last reduction cell."""
        return 2 * self.cells // 3

    def cell_shapes(self, widths: Mapping[str, int]) -> list[CellShape]:
        """The shapes of all cells.

        Args:
            widths: cell type -> how many nodes its output concatenates.
        """
        channels = self.channels
        before_previous = previous = self._stem_channels
        follows_reduction = self.stem == "imagenet"
        shapes = []
        for cell_type in self.cell_types:
            reduction = cell_type == "reduce"
            channels = 2 * channels if reduction else channels
            shapes.append(CellShape(before_previous, previous, channels, reduction, follows_reduction))
            before_previous, previous = previous, channels * widths[cell_type]
            follows_reduction = reduction
        return shapes

    def map_size(self, position: int) -> tuple[int, int]:
        """(H, W) of the output of the cell at a position; every halving rounds up."""
        halvings = self._stem_halvings + sum(reduction <= position for reduction in self.reductions)
        return -(-self.shape[1] // 2**halvings), -(-self.shape[2] // 2**halvings)

    def build_normalize(self) -> Normalize:
        """The network's first layer."""
        return Normalize(self.mean or (0.0,) * self.shape[0], self.std or (1.0,) * self.shape[0])

    def build_stem(self) -> nn.Module:
        """A fresh stem; maps normalised images to the two inputs of the first cell."""
        return (CifarStem if self.stem == "cifar" else ImagenetStem)(self.shape[0], self._stem_channels)

    @property
    def _stem_channels(self) -> int:
        return self.channels * self.stem_multiplier if self.stem == "cifar" else self.channels

    @property
    def _stem_halvings(self) -> int:
        return 0 if self.stem == "cifar" else 3
