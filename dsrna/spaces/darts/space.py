"""The DARTS search space as a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from dsrna.errors import ConfigError, UnsupportedError
from dsrna.nn.operations import OPERATIONS
from dsrna.spaces.darts.genotype_check import OPERATIONS_PER_NODE, check_genotype
from dsrna.spaces.darts.inheritance import inherit
from dsrna.spaces.darts.network import DartsNetwork
from dsrna.spaces.darts.skeleton import CELL_TYPES, Skeleton, StemName
from dsrna.spaces.darts.supernet import DartsSupernet
from dsrna.spaces.genotype import CellGenotype, Genotype, Node
from dsrna.spaces.names import unknown_name
from dsrna.spaces.operation_weights import check_operation_weights, check_relaxed
from dsrna.spaces.search_space import SearchSpace
from dsrna.spaces.supernet import Supernet
from dsrna.types import CellWeights, OperationWeights

DARTS_PRIMITIVES = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)


@dataclass(frozen=True)
class DartsSpace(SearchSpace):
    """Normal and reduction cells with two input nodes; each intermediate node keeps two of its incoming edges.

    Attributes:
        nodes: intermediate nodes of a cell, >= 1.
        primitives: names of the operations on each edge, in the order of operation weights.

    Raises:
        ConfigError: a size is out of range, or an operation is unknown.

    >>> DartsSpace(nodes=2).edges("normal")
    ((0, 2), (1, 2), (0, 3), (1, 3), (2, 3))

    Source: Liu, Simonyan, Yang, DARTS (ICLR 2019).
    """

    name: ClassVar[str] = "darts"
    cell_types: ClassVar[tuple[str, ...]] = CELL_TYPES

    nodes: int = 4
    primitives: tuple[str, ...] = DARTS_PRIMITIVES

    def __post_init__(self) -> None:
        object.__setattr__(self, "primitives", tuple(self.primitives))
        if self.nodes < 1:
            raise ConfigError(f"Expected `nodes` >= 1, got {self.nodes}.")
        for name in self.primitives:
            if name not in OPERATIONS:
                raise ConfigError(f"`primitives`: {unknown_name('operation', name, OPERATIONS)}")
        if len(set(self.primitives)) != len(self.primitives) or not self.choices:
            raise ConfigError(
                f"Expected `primitives` without repeats and with an operation other than none, got {self.primitives}."
            )

    @property
    def choices(self) -> tuple[str, ...]:
        """All operations but ``none``: an edge without one is an edge that a cell doesn't have."""
        return tuple(name for name in self.primitives if name != "none")

    @classmethod
    def fitting(cls, genotype: Genotype) -> DartsSpace:
        """See :meth:`dsrna.spaces.search_space.SearchSpace.fitting`."""
        return cls(nodes=max((len(cell.nodes) for cell in genotype.cells.values()), default=0) or cls.nodes)

    def edges(self, cell_type: str) -> tuple[tuple[int, int], ...]:
        """(source, target) of each edge, by ascending target, then source; 0 and 1 are the cell's inputs."""
        if cell_type not in self.cell_types:
            raise ConfigError(unknown_name("cell type", cell_type, self.cell_types))
        return tuple((source, target) for target in range(2, 2 + self.nodes) for source in range(target))

    def check(self, genotype: Genotype) -> None:
        """See :func:`dsrna.spaces.darts.genotype_check.check_genotype`."""
        check_genotype(genotype, self.name, self.cell_types, self.nodes, self.primitives)

    def supernet(
        self,
        shape: tuple[int, int, int],
        classes: int,
        cells: int = 8,
        channels: int = 16,
        partial_channels: int = 1,
        stem_multiplier: int = 3,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> DartsSupernet:
        """A fresh supernet; the defaults are the published sizes for CIFAR-10.

        Args:
            shape: (C, H, W) of the images.
            classes: K.
            cells: number of cells; those at cells // 3 and 2 * cells // 3 are reduction cells.
            channels: channels of a node in the first normal cell.
            partial_channels: K of PC-DARTS (4 as published); 1 sends every channel through the operations.
            stem_multiplier: the stem has this times ``channels`` channels.
            mean, std: one number a channel in [0, 1] pixel units; None for 0 and 1.

        Raises:
            ConfigError: a size is out of range, the images are too small, or ``partial_channels`` doesn't divide
                ``channels``.
        """
        skeleton = Skeleton(
            shape, classes, cells, channels, stem_multiplier=stem_multiplier, mean=_numbers(mean), std=_numbers(std)
        )
        return DartsSupernet(skeleton, self.edges("normal"), self.primitives, partial_channels)

    def network(
        self,
        genotype: Genotype,
        shape: tuple[int, int, int],
        classes: int,
        cells: int = 20,
        channels: int = 36,
        auxiliary: bool = False,
        drop_path: float = 0.0,
        stem: StemName = "cifar",
        stem_multiplier: int = 3,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> DartsNetwork:
        """A fresh derived network; the defaults are the published sizes for CIFAR-10 (ImageNet: 14 cells, 48 channels).

        Args:
            genotype: one of this space.
            shape: (C, H, W) of the images.
            classes: K.
            cells: number of cells; those at cells // 3 and 2 * cells // 3 are reduction cells.
            channels: channels of a node in the first normal cell.
            auxiliary: whether to build an auxiliary head, on the output of cell 2 * cells // 3.
            drop_path: drop-path probability in [0, 1).
            stem: "cifar" keeps the map size, "imagenet" divides it by 8.
            stem_multiplier: the cifar stem has this times ``channels`` channels.
            mean, std: one number a channel in [0, 1] pixel units; None for 0 and 1.

        Raises:
            GenotypeError: the genotype isn't one of this space.
            ConfigError: a size is out of range, or the images are too small.
        """
        self.check(genotype)
        skeleton = Skeleton(shape, classes, cells, channels, stem, stem_multiplier, _numbers(mean), _numbers(std))
        return DartsNetwork(genotype, skeleton, auxiliary, drop_path)

    def inherit(self, supernet: Supernet, genotype: Genotype) -> DartsNetwork:
        """See :func:`dsrna.spaces.darts.inheritance.inherit`.

        Raises:
            GenotypeError: the genotype isn't one of this space.
            ConfigError: the supernet isn't one of this space.
            UnsupportedError: the supernet has partial channels, or the genotype doesn't concatenate all nodes.
        """
        self._check_one_hot(genotype)
        if not isinstance(supernet, DartsSupernet) or (supernet.edges, supernet.primitives) != (
            self.edges("normal"),
            self.primitives,
        ):
            raise ConfigError(f"Expected a supernet of {self}, got one of another space; build it with this space.")
        return inherit(supernet, genotype)

    def derive(self, weights: OperationWeights) -> Genotype:
        """The genotype by DARTS's rule: each node keeps the two incoming edges (i, j) with the largest
        b_(i,j) max_{o != none} w_(i,j),o, and on each its best operation other than none.

        Ties go to the lower input index and to the earlier primitive. Differs from the released code: the operations
        of a node come in the order of their input index, not of their strength; their order has no meaning.

        Args:
            weights: cell type -> operation weights (E, O) >= 0, and edge weights (E,) >= 0 or None for b = 1.

        Returns:
            A genotype in canonical order that concatenates all intermediate nodes.

        Raises:
            ConfigError: the weights belong to another space, or one is negative.
            NonFiniteError: a weight is NaN or infinite.

        Source: DARTS (ICLR 2019), section 2.4; edge weights: PC-DARTS (ICLR 2020), section 3.3.
        """
        check_operation_weights(weights, self.weight_shapes())
        check_relaxed(weights)
        concat = tuple(range(2, 2 + self.nodes))
        return Genotype(
            self.name,
            {cell_type: CellGenotype(self._derive_nodes(weights[cell_type]), concat) for cell_type in self.cell_types},
        )

    def one_hot(self, genotype: Genotype) -> OperationWeights:
        """Operation weights of 0 and 1: each edge of the genotype on its operation, every other edge on none.

        Where ``none`` isn't among the primitives, the other edges have zeros alone, which gives the same output.

        Raises:
            GenotypeError: the genotype isn't one of this space.
            UnsupportedError: it doesn't concatenate all nodes, as every cell of a supernet does.
        """
        self._check_one_hot(genotype)
        return {cell_type: self._one_hot_cell(genotype.cells[cell_type]) for cell_type in self.cell_types}

    def _derive_nodes(self, weights: CellWeights) -> tuple[Node, ...]:
        rows = weights.operations.detach().double().cpu()
        scales = torch.ones(len(rows), dtype=rows.dtype) if weights.edges is None else weights.edges.detach().to(rows)
        columns = [self.primitives.index(name) for name in self.choices]
        best: dict[int, list[tuple[float, str, int]]] = {}
        for (source, target), row, scale in zip(self.edges("normal"), rows.tolist(), scales.tolist(), strict=True):
            column = max(columns, key=row.__getitem__)
            best.setdefault(target, []).append((scale * row[column], self.primitives[column], source))
        return tuple(_strongest(candidates) for candidates in best.values())

    def _one_hot_cell(self, cell: CellGenotype) -> CellWeights:
        edges = self.edges("normal")
        weights = torch.zeros(len(edges), len(self.primitives))
        if "none" in self.primitives:
            weights[:, self.primitives.index("none")] = 1
        for target, node in enumerate(cell.nodes, start=2):
            for operation, source in node:
                row = weights[edges.index((source, target))]
                row.zero_()
                row[self.primitives.index(operation)] = 1
        return CellWeights(weights)

    def _check_one_hot(self, genotype: Genotype) -> None:
        self.check(genotype)
        for cell_type, cell in genotype.cells.items():
            if cell.concat != tuple(range(2, 2 + self.nodes)):
                raise UnsupportedError(
                    f"{cell_type}, concat: a supernet's cells concatenate all nodes in order, so that it "
                    f"can only stand for genotypes that do too; got {list(cell.concat)}."
                )


def _strongest(candidates: list[tuple[float, str, int]]) -> Node:
    """The (operation, source) pairs of the strongest (strength, operation, source), by ascending source."""
    kept = sorted(candidates, key=lambda candidate: -candidate[0])[:OPERATIONS_PER_NODE]
    return tuple((operation, source) for _, operation, source in sorted(kept, key=lambda candidate: candidate[2]))


def _numbers(values: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(float(value) for value in values)
