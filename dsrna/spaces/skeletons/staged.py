"""Three stages of cells: NAS-Bench-201's networks, a stem, cells with reductions between the stages, and a head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from dsrna.errors import ConfigError
from dsrna.nn.cell_shape import CellShape
from dsrna.nn.residual_reduction import ResidualReduction
from dsrna.spaces.skeletons.base import CellBuilder, Skeleton

CELL_TYPE = "cell"
STAGES = 3


@dataclass(frozen=True)
class StagedSkeleton(Skeleton):
    """Three stages of N = ``cells`` equal cells, with a residual reduction before the second and the third.

    A cell takes the output of the block before it as it is, and has as many channels; every reduction doubles them.

    Source: Dong and Yang, NAS-Bench-201 (ICLR 2020), section 2.1 and figure 1.
    """

    supernet_sizes: ClassVar[tuple[int, int]] = (5, 16)
    network_sizes: ClassVar[tuple[int, int]] = (5, 16)
    network_name: ClassVar[str] = "Nasbench201Network"
    blocks_name: ClassVar[str] = "blocks"
    head_name: ClassVar[str] = "head"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stem != "cifar":
            raise ConfigError(f"Networks of this space have one stem: expected `stem` = 'cifar', got {self.stem!r}.")
        smallest = 2 ** (STAGES - 1)
        if min(self.shape[1:]) < smallest:
            raise ConfigError(
                f"Expected images of at least {smallest} x {smallest} pixels, which are halved {STAGES - 1} times, "
                f"got {self.shape[1]} x {self.shape[2]}."
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage."""
        return tuple(self.channels * 2**stage for stage in range(STAGES))

    @property
    def cell_types(self) -> tuple[str | None, ...]:
        """See :class:`Skeleton`; the reductions are no cells."""
        stage = (CELL_TYPE,) * self.cells
        return (*stage, *(None, *stage) * (STAGES - 1))

    @property
    def stages(self) -> tuple[int, ...]:
        """See :class:`Skeleton`: the reductions and the last cell."""
        return self.cells, 2 * self.cells + 1, STAGES * (self.cells + 1) - 2

    @property
    def cells_a_stage(self) -> int:
        """See :class:`Skeleton`; a stage's last cell counts with the reduction that follows."""
        return self.cells

    def build_stem(self) -> nn.Module:
        """A 3 x 3 convolution and BatchNorm."""
        return nn.Sequential(
            nn.Conv2d(self.shape[0], self.channels, 3, padding=1, bias=False), nn.BatchNorm2d(self.channels)
        )

    def build_blocks(self, cell: CellBuilder, widths: Mapping[str, int]) -> nn.ModuleList:
        """See :class:`Skeleton`."""
        blocks = nn.ModuleList()
        for stage, channels in enumerate(self.widths):
            if stage > 0:
                blocks.append(ResidualReduction(channels // 2, channels))
            shape = CellShape(channels, channels, channels, reduction=False, follows_reduction=False, adapted=False)
            blocks.extend(cell(CELL_TYPE, shape) for _ in range(self.cells))
        return blocks

    def build_head(self, widths: Mapping[str, int]) -> nn.Module:
        """BatchNorm, ReLU, global average, linear."""
        return nn.Sequential(
            nn.BatchNorm2d(self.widths[-1]), nn.ReLU(), _GlobalAverage(), nn.Linear(self.widths[-1], self.classes)
        )

    def logits(self, head: nn.Module, features: Tensor) -> Tensor:
        """See :class:`Skeleton`."""
        logits: Tensor = head(features)
        return logits


class _GlobalAverage(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to (N, C)."""
        return x.mean(dim=(2, 3))
