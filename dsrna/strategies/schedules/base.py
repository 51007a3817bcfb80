"""What every search schedule offers, and what it may do to a search."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from dsrna.spaces.genotype import Genotype
from dsrna.spaces.search_space import SearchSpace
from dsrna.spaces.supernet import Supernet
from dsrna.strategies.architecture import Architecture
from dsrna.types import OperationWeights

MakeSupernet = Callable[..., Supernet]
"""(number >= 1, cells=, partial_channels=) -> a fresh supernet of the search; sizes that are left out are the search's.
Its weights depend on the seed and the number alone."""


class RunningSearch(ABC):
    """A search as its schedules see it: where it is, and what they may change.

    Whatever they do is noted in words: in the log, and with the epoch in ``search/architecture.json``.

    Attributes:
        space: the search space.
    """

    space: SearchSpace

    @property
    @abstractmethod
    def epoch(self) -> int:
        """The epoch that begins, runs, or has just ended; the first is 0."""

    @property
    @abstractmethod
    def epochs(self) -> int:
        """How many there will be, unless the search is stopped."""

    @property
    @abstractmethod
    def supernet(self) -> Supernet:
        """The supernet."""

    @property
    @abstractmethod
    def architecture(self) -> Architecture:
        """The architecture; a schedule may drop its operations and set its alphas."""

    @property
    @abstractmethod
    def ending(self) -> bool:
        """Whether this epoch is the last one."""

    @abstractmethod
    def genotype(self) -> Genotype:
        """What is derived from the architecture now."""

    @abstractmethod
    def training_loss(self, weights: OperationWeights) -> Tensor:
        """Scalar: cross-entropy on this batch's images of weight steps; at the end of an epoch, on its last batch's.

        Differentiable in operation and network weights; BatchNorm normalises by the batch and keeps its running
        statistics.
        """

    @abstractmethod
    def validation_loss(self, weights: OperationWeights) -> Tensor:
        """The same on the images of architecture steps."""

    @abstractmethod
    def note(self, what: str) -> None:
        """Writes down what a schedule did."""

    @abstractmethod
    def stop(self, why: str) -> None:
        """Ends the search after this epoch; called at the end of it. What is derived is derived from the alphas as
        they are then."""

    @abstractmethod
    def set_alphas(self, parameters: Mapping[str, Tensor]) -> None:
        """Gives the architecture other parameters (by name), and their optimiser no memory of the ones before."""

    @abstractmethod
    def replace_supernet(self, number: int, **sizes: int) -> None:
        """Goes on with a fresh supernet; called at the beginning of an epoch. See :data:`MakeSupernet`."""


class SearchSchedule:
    """Something that changes a search while it runs, whatever the relaxation. Several compose, in the config's order.

    A subclass overrides what it needs. What it carries from call to call is in :meth:`state`, which every checkpoint
    holds, so that a search that is resumed goes on as if it had not stopped.
    """

    def check(self, space: SearchSpace, architecture: Architecture, warmup: int, epochs: int) -> None:
        """Called with the settings, before data loads.

        Args:
            space: the search space.
            architecture: one of the search's strategy.
            warmup: the search's first epochs, which are without architecture steps.
            epochs: all of its epochs.

        Raises:
            ConfigError: the schedule makes no sense there; says why.
        """

    def prepare(self, make_supernet: MakeSupernet) -> None:
        """Called once, before the search: builds what :meth:`RunningSearch.replace_supernet` will ask for.

        Raises:
            ConfigError: it can't be built.
        """

    def pauses(self, epoch: int, epochs: int) -> bool:
        """Whether an epoch is to go without architecture steps, as in the warm-up; of these numbers alone."""
        return False

    def begin_epoch(self, search: RunningSearch) -> None:
        """Called before the first batch of every epoch; not again when a search goes on in the midst of one."""

    def before_weight_step(self, search: RunningSearch) -> None:
        """Called in every batch that has an architecture step, after that and before the weight step."""

    def end_epoch(self, search: RunningSearch, searching: bool) -> Mapping[str, float]:
        """Called after every epoch, before it is written down.

        Args:
            search: the search.
            searching: whether the epoch had architecture steps.

        Returns:
            Numbers to log with the epoch.
        """
        return {}

    def supernet_replaced(self, supernet: Supernet) -> None:
        """Called when another schedule has replaced the supernet."""

    def state(self) -> dict[str, Any]:
        """Tensors and plain types, for checkpoints."""
        return {}

    def load_state(self, state: dict[str, Any], supernet: Supernet) -> None:
        """Takes back what :meth:`state` gave.

        Args:
            state: as given.
            supernet: the search's, yet without its weights.
        """
