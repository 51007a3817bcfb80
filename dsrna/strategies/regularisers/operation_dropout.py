"""Dropout of whole operations."""

from __future__ import annotations

import torch
from torch import Tensor

from dsrna.errors import ConfigError
from dsrna.spaces.names import unknown_name
from dsrna.spaces.search_space import SearchSpace
from dsrna.spaces.supernet import Supernet
from dsrna.strategies.architecture import Architecture
from dsrna.strategies.regularisers.base import Regulariser
from dsrna.strategies.search_step import SearchStep
from dsrna.types import CellWeights, OperationWeights


class OperationDropout(Regulariser):
    """In a weight step each operation of each edge is left out with probability p; else its weight is w / (1 - p).

    Dividing by 1 - p keeps the mean of the weights, as in all published forms. All cells of a type and all images of
    the batch share the draw. Architecture steps, validation and what is derived see every operation. p goes linearly
    from ``rate_start`` to ``rate_end`` over the search. An edge may lose all its operations; its output is then zero.

    Args:
        rate_start: p of the first step, in [0, 1).
        rate_end: p that the last step arrives at, in [0, 1).
        operations: names of those that may be left out; None for all.

    Raises:
        ConfigError: a rate is out of range, or there is nothing to leave out.

    Source: for skip connections alone, with a falling rate: Chen et al., P-DARTS (ICCV 2019); for all operations, with
    a growing rate: Zela et al., R-DARTS (ICLR 2020), ScheduledDropPath in the supernet.
    Differs from both: they draw for each value (P-DARTS) or image (R-DARTS) and in architecture steps too; and P-DARTS
    has another rate in each stage, which falls exponentially within it.
    """

    def __init__(self, rate_start: float = 0.0, rate_end: float = 0.3, operations: list[str] | None = None) -> None:
        for name, rate in (("rate_start", rate_start), ("rate_end", rate_end)):
            if not 0 <= rate < 1:
                raise ConfigError(f"Expected `{name}` in [0, 1), got {rate}. (conf: {name})")
        if operations == [] or rate_start == rate_end == 0:
            raise ConfigError("Expected a rate above 0 and an operation to drop: else leave operation dropout out.")
        self.rates, self.operations = (rate_start, rate_end), operations
        self._factors: dict[str, Tensor] = {}
        self._columns = torch.zeros(0, dtype=torch.bool)

    def check(self, space: SearchSpace, architecture: Architecture) -> None:
        """See :class:`Regulariser`."""
        for name in self.operations or []:
            if name not in space.primitives:
                raise ConfigError(f"{unknown_name('operation', name, space.primitives)} (conf: operations)")

    def prepare(self, space: SearchSpace, supernet: Supernet, architecture: Architecture) -> None:
        """See :class:`Regulariser`."""
        self._columns = torch.tensor([self.operations is None or name in self.operations for name in space.primitives])

    def begin_step(self, step: SearchStep, weights: OperationWeights) -> None:
        """See :class:`Regulariser`."""
        self._factors = {}
        first, last = self.rates
        rate = first + (last - first) * step.progress
        if step.kind != "weights" or rate == 0:
            return
        for cell_type, cell in weights.items():
            dropped = torch.rand(cell.operations.shape, generator=step.generator) < rate
            factors = torch.where(self._columns, (~dropped).double() / (1 - rate), 1.0)
            self._factors[cell_type] = factors.to(cell.operations)

    def reweighted(self, weights: OperationWeights) -> OperationWeights:
        """See :class:`Regulariser`."""
        if not self._factors:
            return weights
        return {
            cell_type: CellWeights(cell.operations * self._factors[cell_type], cell.edges)
            for cell_type, cell in weights.items()
        }
