"""Freezing operations whose training and validation gradients disagree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dsrna.errors import ConfigError
from dsrna.nn.edges.mixed_operation import MixedOperation
from dsrna.spaces.supernet import Supernet
from dsrna.strategies.hypergradient import loss_gradients
from dsrna.strategies.schedules.base import RunningSearch, SearchSchedule
from dsrna.types import CellWeights


class Freezing(SearchSchedule):
    """Stops training an operation, for good, when it has begun to overfit: each by itself.

    In every batch with an architecture step, c = cos(d L_train / d w_o, d L_val / d w_o) is taken for the weights w_o
    of each operation o of each edge of each cell, at the operation weights of the architecture step. When the mean of
    c over ``steps`` such batches is below ``threshold``, w_o stays as it is from then on, without weight decay or
    momentum; else the count begins anew. BatchNorm's running statistics go on following the batches, and the operation
    weights are trained as before. A batch in which one of the gradients is zero doesn't count.

    Cost: two forward and backward passes a batch.

    Args:
        threshold: in (-1, 1).
        steps: batches that a mean is taken over, >= 1.

    Raises:
        ConfigError: a value is out of range.

    Source: Jiang et al., Operation-level Early Stopping for Robustifying Differentiable NAS (NeurIPS 2023). Differs
    from the released code: there c is a mean over an operation's tensors and their columns, of the gradients that the
    two steps took anyway, a weight step apart; and 21 values are divided by 20.
    """

    def __init__(self, threshold: float = 0.4, steps: int = 20) -> None:
        if not -1 < threshold < 1:
            raise ConfigError(f"Expected `threshold` in (-1, 1), got {threshold}. (conf: threshold)")
        if steps < 1:
            raise ConfigError(f"Expected `steps` >= 1, got {steps}. (conf: steps)")
        self.threshold, self.steps = threshold, steps
        self._cosines: dict[str, list[float]] = {}  # of the operations that are trained
        self._frozen: list[str] = []

    def before_weight_step(self, search: RunningSearch) -> None:
        """See :class:`SearchSchedule`."""
        operations = {
            name: list(operation.parameters())
            for name, operation in operations_with_weights(search.supernet).items()
            if name not in self._frozen
        }
        if not operations:
            return
        weights = {
            name: CellWeights(cell.operations.detach(), None if cell.edges is None else cell.edges.detach())
            for name, cell in search.architecture().items()
        }
        parameters = [parameter for own in operations.values() for parameter in own]
        training, validation = (
            dict(zip(parameters, loss_gradients(loss(weights), parameters), strict=True))
            for loss in (search.training_loss, search.validation_loss)
        )
        frozen = []
        for name, own in operations.items():
            cosine = _cosine([training[p] for p in own], [validation[p] for p in own])
            if not math.isnan(cosine):
                self._cosines.setdefault(name, []).append(cosine)
            if len(found := self._cosines.get(name, [])) == self.steps:
                del self._cosines[name]
                if sum(found) / self.steps < self.threshold:
                    frozen.append(name)
        if frozen:
            self._frozen += frozen
            self._freeze(search.supernet)
            search.note(f"{len(frozen)} operations are trained no more: {', '.join(frozen)}.")

    def end_epoch(self, search: RunningSearch, searching: bool) -> Mapping[str, float]:
        """See :class:`SearchSchedule`."""
        return {"arch/frozen_operations": float(len(self._frozen))}

    def state(self) -> dict[str, Any]:
        """See :class:`SearchSchedule`."""
        return {"cosines": {name: list(values) for name, values in self._cosines.items()}, "frozen": self._frozen}

    def load_state(self, state: dict[str, Any], supernet: Supernet) -> None:
        """See :class:`SearchSchedule`."""
        self._cosines, self._frozen = state["cosines"], state["frozen"]
        self._freeze(supernet)

    def supernet_replaced(self, supernet: Supernet) -> None:
        """See :class:`SearchSchedule`."""
        self._cosines, self._frozen = {}, []

    def _freeze(self, supernet: nn.Module) -> None:
        operations = operations_with_weights(supernet)
        for name in self._frozen:
            operations[name].requires_grad_(False)


def operations_with_weights(supernet: nn.Module) -> dict[str, nn.Module]:
    """Name in the supernet -> operation, of those that have weights to train."""
    return {
        f"{name}.operations.{number}": operation
        for name, edge in supernet.named_modules()
        if isinstance(edge, MixedOperation)
        for number, operation in enumerate(edge.operations)
        if any(True for _ in operation.parameters())
    }


def _cosine(first: Iterable[Tensor], second: Iterable[Tensor]) -> float:
    """Of all the tensors together; NaN where one side is zero."""
    a, b = (torch.cat([tensor.flatten() for tensor in side]).double() for side in (first, second))
    largest = [side.abs().max() for side in (a, b)]
    if min(largest) == 0:
        return math.nan
    a, b = a / largest[0], b / largest[1]
    return float(torch.dot(a, b) / (a.norm() * b.norm()))
