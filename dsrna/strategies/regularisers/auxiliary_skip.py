"""The auxiliary skip connection of DARTS-."""

from __future__ import annotations

from dsrna.errors import ConfigError
from dsrna.spaces.search_space import SearchSpace
from dsrna.spaces.supernet import Supernet
from dsrna.strategies.architecture import Architecture
from dsrna.strategies.operation_counts import SKIP
from dsrna.strategies.regularisers.base import Regulariser
from dsrna.strategies.search_step import SearchStep
from dsrna.types import CellWeights, OperationWeights


class AuxiliarySkip(Regulariser):
    """Every edge becomes beta x + sum_o w_o o(x), with beta = weight * (1 - progress): a skip that fades out.

    It carries the gradient that a skip connection carries, so that the candidate skip need not grow for that. It is
    there in weight steps and architecture steps from the first step on, warm-up included; never in what is derived,
    recorded or validated, so early validation numbers are those of a network without it.

    beta is added to the weight of the edge's own skip connection, so no implementation of the edges is left for it.
    Where that differs from x itself: with a stride of 2 it is the candidate's factorized reduction, whose convolutions
    serve both; with partial channels it is on the channels that go through the operations, since the others bypass them
    anyway; with edge weights it is multiplied by the edge's, as everything on the edge.

    Args:
        weight: beta at the first step, > 0.

    Raises:
        ConfigError: ``weight`` is out of range.

    Source: Chu et al., DARTS- (ICLR 2021), with its linear decay. Differs from the released code: there beta
    falls epoch by epoch, a stride of 2 has a factorized reduction of its own, and what is validated has beta x.
    """

    def __init__(self, weight: float = 1.0) -> None:
        if not 0 < weight < float("inf"):
            raise ConfigError(f"Expected a finite `weight` > 0, got {weight}. (conf: weight)")
        self.weight = weight
        self._beta, self._skip = 0.0, 0

    def check(self, space: SearchSpace, architecture: Architecture) -> None:
        """See :class:`Regulariser`."""
        if SKIP not in space.primitives:
            raise ConfigError(
                f"auxiliary_skip adds to the weight of {SKIP}, which isn't among the primitives "
                f"{', '.join(space.primitives)}: leave it out."
            )

    def prepare(self, space: SearchSpace, supernet: Supernet, architecture: Architecture) -> None:
        """See :class:`Regulariser`."""
        self._skip = space.primitives.index(SKIP)

    def begin_step(self, step: SearchStep, weights: OperationWeights) -> None:
        """See :class:`Regulariser`."""
        self._beta = self.weight * (1 - step.progress)

    def reweighted(self, weights: OperationWeights) -> OperationWeights:
        """See :class:`Regulariser`."""
        found = {}
        for cell_type, cell in weights.items():
            added = cell.operations.new_zeros(cell.operations.shape[1])
            added[self._skip] = self._beta
            found[cell_type] = CellWeights(cell.operations + added, cell.edges)
        return found
