"""The NAS-Bench-201 search space as a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from dsrna.errors import ConfigError
from dsrna.spaces.genotype import CellGenotype, Genotype
from dsrna.spaces.names import unknown_name
from dsrna.spaces.nasbench201.architecture_string import architecture_string, operations_of
from dsrna.spaces.nasbench201.derivation import likeliest
from dsrna.spaces.nasbench201.genotype_check import check_genotype
from dsrna.spaces.nasbench201.index import index_of, string_at
from dsrna.spaces.nasbench201.inheritance import inherit
from dsrna.spaces.nasbench201.network import Nasbench201Network
from dsrna.spaces.nasbench201.skeleton import Skeleton
from dsrna.spaces.nasbench201.supernet import Nasbench201Supernet
from dsrna.spaces.nasbench201.topology import CELL_TYPE, EDGES, NODES, PRIMITIVES
from dsrna.spaces.operation_weights import check_operation_weights, check_relaxed
from dsrna.spaces.search_space import SearchSpace
from dsrna.spaces.supernet import Supernet
from dsrna.types import CellWeights, OperationWeights


@dataclass(frozen=True)
class Nasbench201Space(SearchSpace):
    """One cell type with one operation, of five, on each of six edges: 15,625 architectures, all tabulated.

    A genotype's node j has one (operation, i) for every earlier node i; node 0 is the cell's input, node 3 its output.

    >>> space = Nasbench201Space()
    >>> space.index(space.genotype(50))
    50

    Source: Dong and Yang, NAS-Bench-201 (ICLR 2020), section 2.1.
    """

    name: ClassVar[str] = "nasbench201"
    cell_types: ClassVar[tuple[str, ...]] = (CELL_TYPE,)
    # A space of another set of operations would have no published indices and tables, so it is no setting.
    primitives: ClassVar[tuple[str, ...]] = PRIMITIVES  # type: ignore[misc]

    @classmethod
    def fitting(cls, genotype: Genotype) -> Nasbench201Space:
        """See :meth:`dsrna.spaces.search_space.SearchSpace.fitting`; there is one size alone."""
        return cls()

    def edges(self, cell_type: str) -> tuple[tuple[int, int], ...]:
        """(source, target) of each edge, by ascending target, then source; 0 is the cell's input, 3 its output."""
        if cell_type not in self.cell_types:
            raise ConfigError(unknown_name("cell type", cell_type, self.cell_types))
        return EDGES

    def check(self, genotype: Genotype) -> None:
        """See :func:`dsrna.spaces.nasbench201.genotype_check.check_genotype`."""
        check_genotype(genotype, self.name)

    def genotype(self, architecture: int | str) -> Genotype:
        """The genotype of a published index or of an architecture string.

        Raises:
            GenotypeError: there is no such architecture.
        """
        text = architecture if isinstance(architecture, str) else string_at(architecture)
        return self._genotype(operations_of(text))

    def index(self, genotype: Genotype) -> int:
        """The published index of a genotype.

        Raises:
            GenotypeError: it isn't one of this space.
        """
        self.check(genotype)
        return index_of(architecture_string(genotype))

    def supernet(
        self,
        shape: tuple[int, int, int],
        classes: int,
        cells: int = 5,
        channels: int = 16,
        partial_channels: int = 1,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> Nasbench201Supernet:
        """A fresh supernet; the defaults are the published sizes.

        Args:
            shape: (C, H, W) of the images.
            classes: K.
            cells: N, cells in each of the three stages.
            channels: channels of the first stage.
            partial_channels: K of PC-DARTS; 1 sends every channel through the operations.
            mean, std: one number a channel in [0, 1] pixel units; None for 0 and 1.

        Raises:
            ConfigError: a size is out of range, the images are too small, or ``partial_channels`` doesn't divide
                ``channels``.
        """
        return Nasbench201Supernet(
            Skeleton(shape, classes, cells, channels, _numbers(mean), _numbers(std)), partial_channels
        )

    def network(
        self,
        genotype: Genotype,
        shape: tuple[int, int, int],
        classes: int,
        cells: int = 5,
        channels: int = 16,
        auxiliary: bool = False,
        drop_path: float = 0.0,
        stem: str = "cifar",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> Nasbench201Network:
        """A fresh derived network; the defaults are the published sizes.

        Args:
            genotype: one of this space.
            shape: (C, H, W) of the images.
            classes: K.
            cells: N, cells in each of the three stages.
            channels: channels of the first stage.
            auxiliary: False; the benchmark's networks have no auxiliary head.
            drop_path: drop-path probability in [0, 1); 0 in the benchmark.
            stem: "cifar"; the benchmark has no other.
            mean, std: one number a channel in [0, 1] pixel units; None for 0 and 1.

        Raises:
            GenotypeError: the genotype isn't one of this space.
            ConfigError: a size is out of range, the images are too small, or the space has no such stem or head.
        """
        self.check(genotype)
        if auxiliary:
            raise ConfigError("The space nasbench201 has no auxiliary head: expected `auxiliary` = false, got true.")
        if stem != "cifar":
            raise ConfigError(f"The space nasbench201 has one stem: expected `stem` = 'cifar', got {stem!r}.")
        skeleton = Skeleton(shape, classes, cells, channels, _numbers(mean), _numbers(std))
        return Nasbench201Network(genotype, skeleton, drop_path)

    def inherit(self, supernet: Supernet, genotype: Genotype) -> Nasbench201Network:
        """See :func:`dsrna.spaces.nasbench201.inheritance.inherit`.

        Raises:
            GenotypeError: the genotype isn't one of this space.
            ConfigError: the supernet isn't one of this space.
            UnsupportedError: the supernet has partial channels.
        """
        self.check(genotype)
        if not isinstance(supernet, Nasbench201Supernet):
            raise ConfigError(f"Expected a supernet of {self}, got one of another space; build it with this space.")
        return inherit(supernet, genotype)

    def derive(self, weights: OperationWeights) -> Genotype:
        """The genotype with the operation of the largest weight on every edge, none included, if that sees its input.

        Else the likeliest one that does, see :func:`~dsrna.spaces.nasbench201.derivation.likeliest`. Ties go to the
        earlier primitive. Edge weights scale all operations of an edge alike and change nothing. Differs from the
        space's authors, who derive cells without any way from input to output too.

        Args:
            weights: the cell's operation weights (6, 5) >= 0, and edge weights (6,) >= 0 or None.

        Raises:
            ConfigError: the weights belong to another space, or one is negative.
            NonFiniteError: a weight is NaN or infinite.
        """
        check_operation_weights(weights, self.weight_shapes())
        check_relaxed(weights)
        return self._genotype(likeliest(weights[CELL_TYPE].operations.tolist()))

    def one_hot(self, genotype: Genotype) -> OperationWeights:
        """Operation weights of 0 and 1: each edge on its operation.

        Raises:
            GenotypeError: the genotype isn't one of this space.
        """
        self.check(genotype)
        weights = torch.zeros(len(EDGES), len(PRIMITIVES))
        for row, name in zip(weights, operations_of(architecture_string(genotype)), strict=True):
            row[PRIMITIVES.index(name)] = 1
        return {CELL_TYPE: CellWeights(weights)}

    def _genotype(self, operations: Sequence[str]) -> Genotype:
        named = list(zip(operations, EDGES, strict=True))
        nodes = tuple(
            tuple((name, source) for name, (source, end) in named if end == target) for target in range(1, NODES + 1)
        )
        return Genotype(self.name, {CELL_TYPE: CellGenotype(nodes, (NODES,))})


def _numbers(values: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(float(value) for value in values)
