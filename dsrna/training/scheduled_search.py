"""A search module as its schedules see it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsrna.data.loader import Batch
from dsrna.nn.modes import batchnorm_statistics_frozen
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.search_space import SearchSpace
from dsrna.spaces.supernet import Supernet
from dsrna.strategies.architecture import Architecture
from dsrna.strategies.schedules.base import MakeSupernet, RunningSearch
from dsrna.types import OperationWeights

if TYPE_CHECKING:
    from dsrna.training.search_module import SearchModule

log = logging.getLogger("dsrna")


class ScheduledSearch(RunningSearch):
    """See :class:`~dsrna.strategies.schedules.base.RunningSearch`.

    Args:
        module: the search.
        space: the search space.
        make_supernet: None where no schedule replaces the supernet.

    Attributes:
        events: what schedules did in this epoch, in words.
        stopped: whether one has ended the search.
        batch: the images of the present batch, of both halves.
    """

    def __init__(self, module: SearchModule, space: SearchSpace, make_supernet: MakeSupernet | None) -> None:
        self._module, self.space, self._make_supernet = module, space, make_supernet
        self._replacement: dict[str, int] = {}  # what make_supernet was called with last
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

    @property
    def ending(self) -> bool:
        return self.stopped or self.epoch == self.epochs - 1

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

    def set_alphas(self, parameters: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.architecture.named_parameters():
                parameter.copy_(parameters[name])
        self._module.optimizers(use_pl_optimizer=False)[1].state.clear()  # type: ignore[index]

    def replace_supernet(self, number: int, **sizes: int) -> None:
        self._replacement = {"number": number, **sizes}
        self._replace()
        optimizer = self._module.weights_optimizer()
        (group,) = optimizer.param_groups
        group["params"] = by_name(self.supernet)
        optimizer.state.clear()
        for schedule in self._module.schedules:
            schedule.supernet_replaced(self.supernet)
        self.note(f"The search goes on in a supernet of {', '.join(f'{name} {size}' for name, size in sizes.items())}.")

    def _replace(self) -> None:
        assert self._make_supernet is not None
        model, like = self._module.model, next(self.supernet.parameters())
        model.supernet = self._make_supernet(**self._replacement).to(like)
        for regulariser in model.regularisers:
            regulariser.prepare(self.space, model.supernet, model.architecture)

    def state(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"events": self.events, "stopped": self.stopped, "replacement": self._replacement}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`state` gave; a supernet's weights come after that."""
        self.events, self.stopped, self._replacement = state["events"], state["stopped"], state["replacement"]
        if self._replacement:
            self._replace()

    def _loss(self, weights: OperationWeights, half: int) -> Tensor:
        assert self.batch is not None
        x, y = self.batch[half]
        with batchnorm_statistics_frozen(self.supernet):
            return F.cross_entropy(self.supernet(x, weights), y)


def by_name(module: nn.Module) -> list[nn.Parameter]:
    """The parameters by their names: an optimiser's state must not depend on the order in which modules were made."""
    return [parameter for _, parameter in sorted(module.named_parameters())]
