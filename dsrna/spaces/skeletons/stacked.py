"""Stacked cells: DARTS's networks, a stem, cells of which two reduce the maps, and a linear layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from dsrna.errors import ConfigError
from dsrna.nn.cell_shape import CellShape
from dsrna.spaces.skeletons.auxiliary_head import AuxiliaryHead
from dsrna.spaces.skeletons.base import CellBuilder, Skeleton
from dsrna.spaces.skeletons.stems import CifarStem, ImagenetStem

REDUCTION = "reduce"


@dataclass(frozen=True)
class StackedSkeleton(Skeleton):
    """Reduction cells stand at cells // 3 and 2 * cells // 3, counted from 0, and double the channels of a node.

    Attributes:
        stem: "cifar" keeps the map size, "imagenet" divides it by 8.
        stem_multiplier: the cifar stem has this times ``channels`` channels.
        normal_cells: type of the cells that don't reduce: one name for all, or one for those before the first
            reduction cell, between the two, and behind.

    Source: DARTS (ICLR 2019), section 3.1 and released code.
    """

    supernet_sizes: ClassVar[tuple[int, int]] = (8, 16)
    network_sizes: ClassVar[tuple[int, int]] = (20, 36)
    fewest_channels: ClassVar[int] = 2
    network_name: ClassVar[str] = "DartsNetwork"
    blocks_name: ClassVar[str] = "cells"
    head_name: ClassVar[str] = "classifier"

    stem_multiplier: int = 3
    normal_cells: tuple[str, ...] = ("normal",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stem_multiplier < 1:
            raise ConfigError(f"Expected `stem_multiplier` >= 1, got {self.stem_multiplier}.")
        if self.stem not in ("cifar", "imagenet"):
            raise ConfigError(f"Expected `stem` to be 'cifar' or 'imagenet', got {self.stem!r}.")
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
        """See :class:`Skeleton`; every block is a cell."""
        return tuple(
            REDUCTION
            if position in self.reductions
            else self.normal_cells[min(self._reduced(position), len(self.normal_cells) - 1)]
            for position in range(self.cells)
        )

    @property
    def stages(self) -> tuple[int, ...]:
        """See :class:`Skeleton`: every cell."""
        return tuple(range(self.cells))

    @property
    def cells_a_stage(self) -> int:
        """See :class:`Skeleton`."""
        return 1

    def build_stem(self) -> nn.Module:
        """A fresh stem; maps normalised images to the two inputs of the first cell."""
        return (CifarStem if self.stem == "cifar" else ImagenetStem)(self.shape[0], self._stem_channels)

    def build_blocks(self, cell: CellBuilder, widths: Mapping[str, int]) -> nn.ModuleList:
        """See :class:`Skeleton`."""
        channels = self.channels
        before_previous = previous = self._stem_channels
        follows_reduction = self.stem == "imagenet"
        cells = nn.ModuleList()
        for cell_type in self.cell_types:
            reduction = cell_type == REDUCTION
            channels = 2 * channels if reduction else channels
            cells.append(cell(cell_type, CellShape(before_previous, previous, channels, reduction, follows_reduction)))
            before_previous, previous = previous, channels * widths[cell_type]
            follows_reduction = reduction
        return cells

    def build_head(self, widths: Mapping[str, int]) -> nn.Module:
        """A linear layer."""
        return nn.Linear(self._channels_behind(self.cells - 1, widths), self.classes)

    def logits(self, head: nn.Module, features: Tensor) -> Tensor:
        """See :class:`Skeleton`: the linear layer on the average over the map."""
        logits: Tensor = head(features.mean(dim=(2, 3)))
        return logits

    @property
    def auxiliary_position(self) -> int:
        """See :class:`Skeleton`: the last reduction cell."""
        return 2 * self.cells // 3

    def build_auxiliary_head(self, widths: Mapping[str, int]) -> nn.Module:
        """See :class:`~dsrna.spaces.skeletons.auxiliary_head.AuxiliaryHead`."""
        position = self.auxiliary_position
        return AuxiliaryHead(self._channels_behind(position, widths), self.map_size(position), self.classes)

    def map_size(self, position: int) -> tuple[int, int]:
        """(H, W) of the output of the cell at a position; every halving rounds up."""
        halvings = self._stem_halvings + self._reduced(position)
        return -(-self.shape[1] // 2**halvings), -(-self.shape[2] // 2**halvings)

    def _channels_behind(self, position: int, widths: Mapping[str, int]) -> int:
        return self.channels * 2 ** self._reduced(position) * widths[self.cell_types[position]]

    def _reduced(self, position: int) -> int:
        """How many reduction cells there are up to this position."""
        return sum(reduction <= position for reduction in self.reductions)

    @property
    def _stem_channels(self) -> int:
        return self.channels * self.stem_multiplier if self.stem == "cifar" else self.channels

    @property
    def _stem_halvings(self) -> int:
        return 0 if self.stem == "cifar" else 3
