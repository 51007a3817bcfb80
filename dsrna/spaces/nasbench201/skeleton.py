"""The skeleton that supernet and derived network share: stem, three stages of cells, reductions between, head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from dsrna.errors import ConfigError
from dsrna.nn.normalize import Normalize
from dsrna.nn.residual_reduction import ResidualReduction

STAGES = 3


@dataclass(frozen=True)
class Skeleton:
    """Sizes of a network: three stages of equal cells, with a residual reduction before the second and the third.

    Attributes:
        shape: (C, H, W) of the images.
        classes: K, number of classes.
        cells: N, cells in each stage.
        channels: channels of the first stage; every reduction doubles them.
        mean, std: one number a channel in [0, 1] pixel units, or None for 0 and 1.

    Raises:
        ConfigError: a size is out of range, or the images are too small to be halved twice.

    Source: Dong and Yang, NAS-Bench-201 (ICLR 2020), section 2.1 and figure 1.
    """

    shape: tuple[int, int, int]
    classes: int
    cells: int
    channels: int
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ConfigError(f"Expected image `shape` (channels, height, width), each >= 1, got {self.shape}.")
        for name, least in (("classes", 2), ("cells", 1), ("channels", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"Expected `{name}` >= {least}, got {getattr(self, name)}.")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None and len(values) != self.shape[0]:
                raise ConfigError(
                    f"Expected `{name}` with one number for each of the images' {self.shape[0]} channels, got {values}."
                )
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

    def build_normalize(self) -> Normalize:
        """The network's first layer."""
        return Normalize(self.mean or (0.0,) * self.shape[0], self.std or (1.0,) * self.shape[0])

    def build_stem(self) -> nn.Module:
        """A 3 x 3 convolution and BatchNorm."""
        return nn.Sequential(
            nn.Conv2d(self.shape[0], self.channels, 3, padding=1, bias=False), nn.BatchNorm2d(self.channels)
        )

    def build_blocks(self, cell: Callable[[int], nn.Module]) -> nn.ModuleList:
        """All cells, in the order of the forward pass, and the reductions between stages.

        Args:
            cell: builds a cell for a number of channels.
        """
        blocks: list[nn.Module] = []
        for stage, channels in enumerate(self.widths):
            if stage > 0:
                blocks.append(ResidualReduction(channels // 2, channels))
            blocks += [cell(channels) for _ in range(self.cells)]
        return nn.ModuleList(blocks)

    def build_head(self) -> nn.Module:
        """BatchNorm, ReLU, global average, linear."""
        return nn.Sequential(
            nn.BatchNorm2d(self.widths[-1]), nn.ReLU(), _GlobalAverage(), nn.Linear(self.widths[-1], self.classes)
        )


class _GlobalAverage(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to (N, C)."""
        return x.mean(dim=(2, 3))
