"""What every skeleton offers: the part of a network that isn't searched."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from dsrna.errors import ConfigError
from dsrna.nn.cell_shape import CellShape
from dsrna.nn.normalize import Normalize

CellBuilder = Callable[[str, CellShape], nn.Module]
"""(cell type, shape) -> a cell."""


@dataclass(frozen=True)
class Skeleton(ABC):
    """Sizes of a network of cells; it builds everything but the cells. Supernet and derived network share it.

    Attributes:
        shape: (C, H, W) of the images.
        classes: K, number of classes.
        cells: number of cells, counted as the subclass says.
        channels: channels of a node in the first cell.
        stem: "cifar", or another one that the subclass knows.
        mean, std: one number a channel in [0, 1] pixel units, or None for 0 and 1.
        supernet_sizes, network_sizes: the published (cells, channels).
        fewest_channels: the least that the layers take.
        network_name: for checksums of derived networks.
        blocks_name, head_name: under which networks hold the parts, and checkpoints their weights.

    Raises:
        ConfigError: a size is out of range, or the images are too small to be halved that often.
    """

    supernet_sizes: ClassVar[tuple[int, int]]
    network_sizes: ClassVar[tuple[int, int]]
    fewest_channels: ClassVar[int] = 1
    network_name: ClassVar[str]
    blocks_name: ClassVar[str]
    head_name: ClassVar[str]

    shape: tuple[int, int, int]
    classes: int
    cells: int
    channels: int
    stem: str = "cifar"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ConfigError(f"Expected image `shape` (channels, height, width), each >= 1, got {self.shape}.")
        for name, least in (("classes", 2), ("cells", 1), ("channels", self.fewest_channels)):
            if getattr(self, name) < least:
                raise ConfigError(f"Expected `{name}` >= {least}, got {getattr(self, name)}.")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None and len(values) != self.shape[0]:
                raise ConfigError(
                    f"Expected `{name}` with one number for each of the images' {self.shape[0]} channels, got {values}."
                )

    @property
    @abstractmethod
    def cell_types(self) -> tuple[str | None, ...]:
        """Type of each block, None for one that is no cell."""

    @property
    @abstractmethod
    def stages(self) -> tuple[int, ...]:
        """The blocks behind which a stage of the network ends, as CRoZe's released code counts them."""

    @property
    @abstractmethod
    def cells_a_stage(self) -> int:
        """How many cells belong to a stage."""

    def build_normalize(self) -> Normalize:
        """The network's first layer."""
        return Normalize(self.mean or (0.0,) * self.shape[0], self.std or (1.0,) * self.shape[0])

    @abstractmethod
    def build_stem(self) -> nn.Module:
        """What maps normalised images to the input of the first block, or to those of the first two."""

    @abstractmethod
    def build_blocks(self, cell: CellBuilder, widths: Mapping[str, int]) -> nn.ModuleList:
        """All blocks, in the order of the forward pass.

        Args:
            cell: builds a cell.
            widths: cell type -> how many nodes its output concatenates.
        """

    @abstractmethod
    def build_head(self, widths: Mapping[str, int]) -> nn.Module:
        """What :meth:`logits` is given."""

    @abstractmethod
    def logits(self, head: nn.Module, features: Tensor) -> Tensor:
        """Maps the last block's output (N, C, H, W) to logits (N, K)."""

    @property
    def auxiliary_position(self) -> int:
        """The block whose output an auxiliary head reads."""
        return len(self.cell_types) - 1

    def build_auxiliary_head(self, widths: Mapping[str, int]) -> nn.Module:
        """The head that helps to train deep networks.

        Raises:
            ConfigError: networks of this kind have none.
        """
        raise ConfigError("Networks of this space have no auxiliary head: expected `auxiliary` = false, got true.")
