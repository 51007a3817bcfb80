"""What every search space offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from dsrna.spaces.derived_network import DerivedNetwork
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.supernet import Supernet
from dsrna.types import OperationWeights


class SearchSpace(ABC):
    """A set of architectures as a value: it holds sizes and names, and builds modules.

    Attributes:
        name: the name that genotypes carry.
        cell_types: kinds of cells that are searched, e.g. ``("normal", "reduce")``.
        primitives: names of the operations on each edge, in the order of operation weights.
    """

    name: ClassVar[str]
    cell_types: ClassVar[tuple[str, ...]]
    primitives: tuple[str, ...]

    @property
    def choices(self) -> tuple[str, ...]:
        """Names of the operations that a genotype may have, in the order of primitives."""
        return self.primitives

    @abstractmethod
    def edges(self, cell_type: str) -> tuple[tuple[int, int], ...]:
        """(source, target) of each edge of a cell, in the order of operation weights; input nodes are counted first."""

    @abstractmethod
    def supernet(self, shape: tuple[int, int, int], classes: int, *args: Any, **sizes: Any) -> Supernet:
        """A fresh supernet for images of ``shape`` (C, H, W)."""

    @abstractmethod
    def network(
        self, genotype: Genotype, shape: tuple[int, int, int], classes: int, *args: Any, **sizes: Any
    ) -> DerivedNetwork:
        """A fresh derived network for images of ``shape`` (C, H, W)."""

    @abstractmethod
    def inherit(self, supernet: Supernet, genotype: Genotype) -> DerivedNetwork:
        """The derived network with copies of a supernet's weights, equal to the supernet under one-hot weights."""

    @abstractmethod
    def derive(self, weights: OperationWeights) -> Genotype:
        """The genotype that operation weights stand for, in canonical order."""

    @abstractmethod
    def one_hot(self, genotype: Genotype) -> OperationWeights:
        """Operation weights that pick out a genotype; the inverse of :meth:`derive`."""

    @abstractmethod
    def check(self, genotype: Genotype) -> None:
        """Accepts a genotype of this space.

        Raises:
            GenotypeError: it isn't one; the message names the place.
        """

    @classmethod
    @abstractmethod
    def fitting(cls, genotype: Genotype) -> SearchSpace:
        """The space of this kind, with its usual operations, that has as many nodes as a genotype."""

    def weight_shapes(self) -> dict[str, tuple[int, int]]:
        """Cell type -> (E, O), the shape of its operation weights and alphas."""
        return {cell_type: (len(self.edges(cell_type)), len(self.primitives)) for cell_type in self.cell_types}
