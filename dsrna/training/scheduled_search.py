"""A search module as its schedules see it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor

from dsrna.data.loader import Batch
from dsrna.nn.modes import batchnorm_statistics_frozen
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.search_space import SearchSpace
from dsrna.spaces.supernet import Supernet
from dsrna.strategies.architecture import Architecture
from dsrna.strategies.schedules.base import RunningSearch
from dsrna.types import OperationWeights

if TYPE_CHECKING:
    from dsrna.training.search_module import SearchModule

log = logging.getLogger("dsrna")


class ScheduledSearch(RunningSearch):
    """See :class:`~dsrna.strategies.schedules.base.RunningSearch`.

    Args:
        module: the search.
        space: the search space.

    Attributes:
        events: what schedules did in this epoch, in words.
        stopped: whether one has ended the search.
        batch: the images of the present batch, of both halves.
    """

    def __init__(self, module: SearchModule, space: SearchSpace) -> None:
        self._module, self.space = module, space
        self.events: list[str] = []
        self.stopped = False
        self.batch: tuple[Batch, Batch] | None = None

    @property
    def epoch(self) -> int:
        return self._module.current_epoch

    @property
    def epochs(self) -> int:
        return self._module.epochs

    @property
    def supernet(self) -> Supernet:
        return self._module.model.supernet

    @property
    def architecture(self) -> Architecture:
        return self._module.model.architecture

    def genotype(self) -> Genotype:
        return self._module.history.genotype(self.architecture.expected())

    def training_loss(self, weights: OperationWeights) -> Tensor:
        return self._loss(weights, 0)

    def validation_loss(self, weights: OperationWeights) -> Tensor:
        return self._loss(weights, 1)

    def note(self, what: str) -> None:
        self.events.append(what)
        log.info("search epoch %d: %s", self.epoch + 1, what)

    def stop(self, why: str) -> None:
        self.note(f"The search ends: {why}.")
        self.stopped = True
        self._module.trainer.should_stop = True

    def state(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"events": self.events, "stopped": self.stopped}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`state` gave."""
        self.events, self.stopped = state["events"], state["stopped"]

    def _loss(self, weights: OperationWeights, half: int) -> Tensor:
        assert self.batch is not None
        x, y = self.batch[half]
        with batchnorm_statistics_frozen(self.supernet):
            return F.cross_entropy(self.supernet(x, weights), y)
