"""Architectures of one alpha for each operation of each edge."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from dsrna.errors import ConfigError
from dsrna.spaces.search_space import SearchSpace
from dsrna.strategies.architecture import Architecture
from dsrna.strategies.strategy import Strategy
from dsrna.types import CellWeights, OperationWeights

LOGITS = "the logits of a softmax"


class AlphaArchitecture(Architecture):
    """Alphas (E, O) of every cell type, betas (E,) where edges are normalised, and which operations are still there.

    A subclass says how a cell type's alphas relax. An operation that an edge of the space doesn't have, or that
    was dropped by :meth:`keep`, has the weight 0.

    Args:
        space: gives cell types, edges and primitives.
        init_scale: standard deviation of the initial alphas and betas.
        edge_normalization: whether each edge has a weight, a softmax of betas over the edges that enter its node.
        generator: source of the initial alphas and betas.

    Attributes:
        alphas: cell type -> (E, O).
        betas: cell type -> (E,), empty without edge normalisation.
        alphas_are: what they mean, in words; :data:`LOGITS` where the expected weights of an edge are their softmax.

    Source of the edge weights: Xu et al., PC-DARTS (ICLR 2020), eq. 2.
    """

    alphas_are: ClassVar[str] = LOGITS

    def __init__(
        self, space: SearchSpace, init_scale: float, edge_normalization: bool, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        shapes = space.weight_shapes()
        self.alphas = nn.ParameterDict(
            {
                cell_type: nn.Parameter(init_scale * torch.randn(shape, generator=generator))
                for cell_type, shape in shapes.items()
            }
        )
        self.betas = nn.ParameterDict()
        if edge_normalization:
            for cell_type, (edges, _) in shapes.items():
                self.betas[cell_type] = nn.Parameter(init_scale * torch.randn(edges, generator=generator))
        for cell_type in shapes:
            self.register_buffer(f"kept_{cell_type}", space.allowed(cell_type))
        self._targets = {cell_type: [target for _, target in space.edges(cell_type)] for cell_type in shapes}

    @abstractmethod
    def relaxed(self, cell_type: str) -> Tensor:
        """Operation weights (E, O) of the step, differentiable in the alphas."""

    def relaxed_expected(self, cell_type: str) -> Tensor:
        """The same as they are expected to be; by default the softmax of the alphas."""
        return self.logits(cell_type).softmax(dim=1)

    def forward(self) -> OperationWeights:
        """See :class:`dsrna.strategies.architecture.Architecture`."""
        return {cell_type: CellWeights(self.relaxed(cell_type), self._edges(cell_type)) for cell_type in self.alphas}

    def expected(self) -> OperationWeights:
        """See :class:`dsrna.strategies.architecture.Architecture`."""
        return {
            cell_type: CellWeights(self.relaxed_expected(cell_type), self._edges(cell_type))
            for cell_type in self.alphas
        }

    def kept(self, cell_type: str) -> Tensor:
        """(E, O) bool: the operations that weren't dropped."""
        return self.get_buffer(f"kept_{cell_type}")

    def keep(self, kept: Mapping[str, Tensor]) -> None:
        """Drops operations for good: they have weight 0 from now on, and no gradient.

        Args:
            kept: cell type -> (E, O) bool, at least one operation an edge; what was dropped before stays dropped.

        Raises:
            ConfigError: an edge would be left without an operation.
        """
        for cell_type, of_cell in kept.items():
            left = self.kept(cell_type) & of_cell.to(self.kept(cell_type).device)
            if not bool(left.any(dim=1).all()):
                raise ConfigError(f"Expected at least one operation on every edge of the {cell_type} cell to be kept.")
            self.kept(cell_type).copy_(left)

    def logits(self, cell_type: str) -> Tensor:
        """The alphas (E, O), -inf where an operation was dropped."""
        return self.alphas[cell_type].masked_fill(~self.kept(cell_type), -math.inf)

    def _edges(self, cell_type: str) -> Tensor | None:
        if cell_type not in self.betas:
            return None
        return normalize_edges(self.betas[cell_type], self._targets[cell_type])


class AlphaStrategy(Strategy):
    """A strategy of alphas: what all of them can be asked for.

    Attributes:
        architecture: what it makes.

    Args:
        init_scale: standard deviation of the initial alphas and betas, >= 0.
        partial_channels: K; one channel in K goes through the operations, 1 for all.
        edge_normalization: whether edges have weights of their own, as in PC-DARTS.

    Raises:
        ConfigError: a value is out of range.
    """

    architecture: ClassVar[type[AlphaArchitecture]]

    def __init__(self, init_scale: float = 1e-3, partial_channels: int = 1, edge_normalization: bool = False) -> None:
        if not init_scale >= 0:
            raise ConfigError(f"Expected `init_scale` >= 0, got {init_scale}. (conf: strategy.init_scale)")
        if partial_channels < 1:
            raise ConfigError(
                f"Expected `partial_channels` >= 1, got {partial_channels}; 1 sends every channel through the "
                "operations. (conf: strategy.partial_channels)"
            )
        self.init_scale = init_scale
        self.partial_channels = partial_channels
        self.edge_normalization = edge_normalization

    def initial(self, space: SearchSpace, generator: torch.Generator | None = None) -> AlphaArchitecture:
        """See :meth:`dsrna.strategies.strategy.Strategy.initial`."""
        return self.architecture(space, self.init_scale, self.edge_normalization, generator)


def alphas_of(architecture: Architecture, asking: str) -> AlphaArchitecture:
    """The architecture, if it has alphas.

    Args:
        architecture: any.
        asking: name of the part that needs them, for the message.

    Raises:
        ConfigError: it has none.
    """
    if not isinstance(architecture, AlphaArchitecture):
        raise ConfigError(
            f"{asking} acts on an alpha for each operation of each edge, and {type(architecture).__name__} has none: "
            f"leave out one of the two. (conf: strategy)"
        )
    return architecture


def logits_of(architecture: Architecture, asking: str) -> AlphaArchitecture:
    """The architecture, if its alphas are logits of a softmax: a number may be added to all of an edge's.

    Args:
        architecture: any.
        asking: name of the part that needs them, for the message.

    Raises:
        ConfigError: it has none.
    """
    own = alphas_of(architecture, asking)
    if own.alphas_are != LOGITS:
        raise ConfigError(
            f"{asking} acts on {LOGITS}, and the alphas of {type(own).__name__} are {own.alphas_are}: leave out one of "
            "the two. (conf: strategy)"
        )
    return own


def normalize_edges(betas: Tensor, targets: list[int]) -> Tensor:
    """Softmax over the edges that enter the same node.

    Args:
        betas: (E,).
        targets: the node that each edge enters, in any order.

    Returns:
        (E,) edge weights; those of each node sum to 1.

    >>> normalize_edges(torch.zeros(5), [2, 2, 3, 3, 3])
    tensor([0.5000, 0.5000, 0.3333, 0.3333, 0.3333])
    """
    enters = torch.tensor(
        [[target == node for target in targets] for node in sorted(set(targets))], device=betas.device
    )
    return betas.where(enters, -math.inf).softmax(dim=1).sum(dim=0)
