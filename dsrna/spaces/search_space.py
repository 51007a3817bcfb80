"""A search space as a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar, Literal, Self, cast

import torch
from torch import Tensor

from dsrna.conforming import hints_of, misfit
from dsrna.errors import ConfigError, GenotypeError, UnsupportedError
from dsrna.nn.cell_topology import CellTopology, Ends, Output
from dsrna.nn.operations import OPERATIONS
from dsrna.spaces.derivation import derived_cell
from dsrna.spaces.derived_network import DerivedNetwork
from dsrna.spaces.genotype import CellGenotype, Genotype
from dsrna.spaces.genotype_check import check_genotype
from dsrna.spaces.inheritance import inherit
from dsrna.spaces.names import unknown_name
from dsrna.spaces.one_hot import one_hot_cell
from dsrna.spaces.operation_weights import check_operation_weights, check_relaxed
from dsrna.spaces.skeletons.base import Skeleton
from dsrna.spaces.skeletons.stacked import REDUCTION, StackedSkeleton
from dsrna.spaces.skeletons.staged import CELL_TYPE, StagedSkeleton
from dsrna.spaces.supernet import Supernet
from dsrna.types import OperationWeights

_SKELETONS: dict[str, type[Skeleton]] = {"stacked": StackedSkeleton, "staged": StagedSkeleton}


@dataclass(frozen=True)
class SearchSpace:
    """A set of architectures: cells of one topology, in a skeleton. It holds sizes and names, and builds modules.

    Attributes:
        name: the name that genotypes carry.
        told_by_cells: the settings that :meth:`fitting` finds in the cells themselves.
        nodes, primitives, inputs, kept, output, ends, free: of every cell; see
            :class:`~dsrna.nn.cell_topology.CellTopology`.
        operations: cell type -> for every edge the primitives that it may have; all of them for types left out.
        skeleton: "stacked" (DARTS's: normal and reduction cells, see
            :class:`~dsrna.spaces.skeletons.stacked.StackedSkeleton`) or "staged" (NAS-Bench-201's, of cells with one
            input and one node as output, see :class:`~dsrna.spaces.skeletons.staged.StagedSkeleton`).
        normal_cells: of a stacked skeleton: types of the cells that don't reduce.

    Raises:
        ConfigError: a setting is out of range, an operation is unknown, or the cells don't fit the skeleton.

    >>> SearchSpace(nodes=2, primitives=["skip_connect", "nor_conv_3x3"], inputs=1).edges("normal")
    ((0, 1), (0, 2), (1, 2))
    """

    name: ClassVar[str] = "cells"
    told_by_cells: ClassVar[frozenset[str]] = frozenset()

    nodes: int
    primitives: tuple[str, ...]
    inputs: int = 2
    kept: int | None = 2
    output: Output = "all"
    ends: Ends = ()
    operations: dict[str, list[list[str]]] = field(default_factory=dict, hash=False)
    skeleton: Literal["stacked", "staged"] = "stacked"
    normal_cells: tuple[str, ...] = ("normal",)
    free: bool = False

    def __post_init__(self) -> None:
        for name in ("primitives", "normal_cells"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "ends", tuple((source, target) for source, target in self.ends))
        for name in self.primitives:
            if name not in OPERATIONS:
                raise ConfigError(f"`primitives`: {unknown_name('operation', name, OPERATIONS)}")
        if self.skeleton not in _SKELETONS:
            raise ConfigError(f"`skeleton`: {unknown_name('skeleton', self.skeleton, _SKELETONS)}")
        if len(self.normal_cells) not in (1, 3) or REDUCTION in self.normal_cells:
            raise ConfigError(
                f"Expected `normal_cells` of one name, or of three, none {REDUCTION!r}, got {self.normal_cells}. "
                "(conf: normal_cells)"
            )
        for name in self.operations:
            if name not in self.cell_types:
                raise ConfigError(f"`operations`: {unknown_name('cell type', name, self.cell_types)}")
        wide = any(each.inputs != 1 or len(each.outputs) != 1 for each in self._each_topology)
        if wide and self.skeleton == "staged":
            raise ConfigError(
                "Expected `inputs: 1` and `output: last` for the staged skeleton, whose cells have as many channels as "
                f"the block before them, got {self.inputs} and {self.output!r}. (conf: skeleton)"
            )

    @property
    def cell_types(self) -> tuple[str, ...]:
        """The kinds of cells that are searched."""
        return (CELL_TYPE,) if self.skeleton == "staged" else (*dict.fromkeys(self.normal_cells), REDUCTION)

    @cached_property
    def topologies(self) -> dict[str, CellTopology]:
        """Cell type -> the inside of its cells."""
        return dict(zip(self.cell_types, self._each_topology, strict=True))

    @cached_property
    def _each_topology(self) -> list[CellTopology]:
        return [
            CellTopology(
                self.inputs, self.nodes, self.primitives, self.kept, self.output, self.ends,
                tuple(map(tuple, self.operations.get(cell_type, ()))), self.free,
            )
            for cell_type in self.cell_types
        ]  # fmt: skip

    @property
    def choices(self) -> tuple[str, ...]:
        """Names of the operations that a derived cell may have, in the order of primitives."""
        return self._each_topology[0].choices

    @property
    def settings(self) -> dict[str, Any]:
        """What isn't usual of this space, as plain values: arguments that build it again."""
        usual = {each.name: each.default for each in fields(self) if each.init} | {"operations": {}}
        return {name: _plain(getattr(self, name)) for name, value in usual.items() if getattr(self, name) != value}

    def topology(self, cell_type: str) -> CellTopology:
        """The inside of a cell.

        Raises:
            ConfigError: there is no such cell type.
        """
        if cell_type not in self.topologies:
            raise ConfigError(unknown_name("cell type", cell_type, self.cell_types))
        return self.topologies[cell_type]

    def edges(self, cell_type: str) -> Ends:
        """(source, target) of each edge of a cell, in the order of operation weights; input nodes are counted first."""
        return self.topology(cell_type).ends

    def weight_shapes(self) -> dict[str, tuple[int, int]]:
        """Cell type -> (E, O), the shape of its operation weights and alphas."""
        return {cell_type: (len(self.edges(cell_type)), len(self.primitives)) for cell_type in self.cell_types}

    def allowed(self, cell_type: str) -> Tensor:
        """(E, O) bool: the operations that each edge may have."""
        operations = self.topology(cell_type).operations
        return torch.tensor([[name in names for name in self.primitives] for names in operations])

    @classmethod
    def fitting(cls, genotype: Genotype) -> Self:
        """The space of this kind that a genotype is of: the one that it says, or that its cells tell.

        Raises:
            GenotypeError: there is none.
        """
        if genotype.topology is None:
            return cls.of_cells(genotype)
        hints = hints_of(cast(Any, cls))
        try:
            for name, value in genotype.topology.items():
                if (found := misfit(value, hints.get(name, Any), f"topology, {name}")) is not None:
                    raise ConfigError(": ".join(found))
            return cls(**genotype.topology)
        except (ConfigError, TypeError) as error:
            raise GenotypeError(f"topology: expected settings of the space {cls.name!r}: {error}") from error

    @classmethod
    def of_cells(cls, genotype: Genotype) -> Self:
        """The space of this kind that cells tell, with what is usual for the rest.

        Raises:
            GenotypeError: cells don't tell a space of this kind.
        """
        raise GenotypeError(f"topology: expected the settings of the space {cls.name!r}, got nothing")

    def check(self, genotype: Genotype) -> None:
        """See :func:`~dsrna.spaces.genotype_check.check_genotype`."""
        check_genotype(genotype, self.name, self.topologies)

    def supernet(
        self,
        shape: tuple[int, int, int],
        classes: int,
        cells: int | None = None,
        channels: int | None = None,
        partial_channels: int = 1,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        **sizes: Any,
    ) -> Supernet:
        """A fresh supernet.

        Args:
            shape: (C, H, W) of the images.
            classes: K.
            cells: number of cells, counted as the skeleton does; None for the published one.
            channels: channels of a node in the first cell; None for the published number.
            partial_channels: K of PC-DARTS (4 as published); 1 sends every channel through the operations.
            mean: one number a channel in [0, 1] pixel units; None for 0 and 1.
            std: likewise.
            sizes: further ones of the skeleton.

        Raises:
            ConfigError: a size is out of range, the images are too small, or ``partial_channels`` doesn't divide
                ``channels``.
        """
        usual = _SKELETONS[self.skeleton].supernet_sizes
        skeleton = self._skeleton(usual, shape, classes, cells, channels, mean=mean, std=std, **sizes)
        return Supernet(skeleton, self.topologies, partial_channels)

    def network(
        self,
        genotype: Genotype,
        shape: tuple[int, int, int],
        classes: int,
        cells: int | None = None,
        channels: int | None = None,
        auxiliary: bool = False,
        drop_path: float = 0.0,
        stem: str = "cifar",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        **sizes: Any,
    ) -> DerivedNetwork:
        """A fresh derived network.

        Args:
            genotype: one of this space.
            shape: (C, H, W) of the images.
            classes: K.
            cells: number of cells, counted as the skeleton does; None for the published one.
            channels: channels of a node in the first cell; None for the published number.
            auxiliary: whether to build an auxiliary head, where the skeleton has one.
            drop_path: drop-path probability in [0, 1).
            stem: "cifar" keeps the map size; further ones of the skeleton.
            mean: one number a channel in [0, 1] pixel units; None for 0 and 1.
            std: likewise.
            sizes: further ones of the skeleton.

        Raises:
            GenotypeError: the genotype isn't one of this space.
            ConfigError: a size is out of range, the images are too small, or the skeleton has no such stem or head.
        """
        self.check(genotype)
        usual = _SKELETONS[self.skeleton].network_sizes
        skeleton = self._skeleton(usual, shape, classes, cells, channels, stem=stem, mean=mean, std=std, **sizes)
        return DerivedNetwork(genotype, self.topologies, skeleton, auxiliary, drop_path)

    def inherit(self, supernet: Supernet, genotype: Genotype) -> DerivedNetwork:
        """See :func:`~dsrna.spaces.inheritance.inherit`; equal to the supernet under one-hot weights.

        Raises:
            GenotypeError: the genotype isn't one of this space.
            ConfigError: the supernet isn't one of this space.
            UnsupportedError: the supernet has partial channels, or the genotype doesn't give out what its cells do.
        """
        self._check_one_hot(genotype)
        if supernet.topologies != self.topologies:
            raise ConfigError(f"Expected a supernet of {self}, got one of another space; build it with this space.")
        return inherit(supernet, genotype)

    def derive(self, weights: OperationWeights) -> Genotype:
        """The genotype that operation weights stand for, see :func:`~dsrna.spaces.derivation.derived_cell`.

        Differs from DARTS's released code: the operations of a node come in the order of their input index, not of
        their strength; their order has no meaning.

        Args:
            weights: cell type -> operation weights (E, O) >= 0, and edge weights (E,) >= 0 or None.

        Returns:
            A genotype in canonical order whose cells give out what the supernet's do.

        Raises:
            ConfigError: the weights belong to another space, or one is negative.
            NonFiniteError: a weight is NaN or infinite.

        Source: DARTS (ICLR 2019), section 2.4; edge weights: PC-DARTS (ICLR 2020), section 3.3.
        """
        check_operation_weights(weights, self.weight_shapes())
        check_relaxed(weights)
        return self.genotype_of(
            {name: derived_cell(weights[name], topology) for name, topology in self.topologies.items()}
        )

    def genotype_of(self, cells: Mapping[str, CellGenotype]) -> Genotype:
        """A genotype of these cells, which says its space's settings where the cells don't tell them."""
        settings = self.settings
        return Genotype(self.name, dict(cells), None if settings.keys() <= self.told_by_cells else settings)

    def one_hot(self, genotype: Genotype) -> OperationWeights:
        """Operation weights of 0 and 1: each edge of the genotype on its operation, every other edge on none.

        Where ``none`` isn't among the primitives, the other edges have zeros alone, which gives the same output. An
        operation that stands on an edge twice has the weight 2.

        Raises:
            GenotypeError: the genotype isn't one of this space.
            UnsupportedError: its cells don't give out what a supernet's do.
        """
        self._check_one_hot(genotype)
        return {name: one_hot_cell(genotype.cells[name], each) for name, each in self.topologies.items()}

    def _check_one_hot(self, genotype: Genotype) -> None:
        self.check(genotype)
        for cell_type, cell in genotype.cells.items():
            if cell.concat != self.topologies[cell_type].outputs:
                raise UnsupportedError(
                    f"{cell_type}, concat: a supernet's cells concatenate all nodes in order, so that it "
                    f"can only stand for genotypes that do too; got {list(cell.concat)}."
                )

    def _skeleton(
        self,
        usual: tuple[int, int],
        shape: tuple[int, int, int],
        classes: int,
        cells: int | None,
        channels: int | None,
        **sizes: Any,
    ) -> Skeleton:
        for name in ("mean", "std"):
            sizes[name] = None if sizes[name] is None else tuple(float(value) for value in sizes[name])
        if self.skeleton == "stacked":
            sizes["normal_cells"] = self.normal_cells
        cells, channels = usual[0] if cells is None else cells, usual[1] if channels is None else channels
        return _SKELETONS[self.skeleton](shape, classes, cells, channels, **sizes)


def _plain(value: Any) -> Any:
    """Lists for tuples, as JSON has them."""
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value
