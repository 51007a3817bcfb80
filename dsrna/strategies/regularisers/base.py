"""What every regulariser of a search offers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from dsrna.spaces.search_space import SearchSpace
from dsrna.spaces.supernet import Supernet
from dsrna.strategies.architecture import Architecture
from dsrna.strategies.search_step import SearchStep
from dsrna.types import OperationWeights


class Regulariser:
    """Something that is added to a search, whatever the relaxation. Several of them compose, in the config's order.

    A subclass overrides what it needs. Between two calls of :meth:`begin_step` the others are pure. A regulariser
    carries nothing from step to step: what changes with time depends on ``step.progress``, what is drawn comes from
    ``step.generator``, so that a search that is resumed goes on as if it had not stopped.
    """

    def check(self, space: SearchSpace, architecture: Architecture) -> None:
        """Called with the settings, before data loads.

        Args:
            space: the search space.
            architecture: one of the search's strategy.

        Raises:
            ConfigError: the regulariser makes no sense there; says why.
        """

    def prepare(self, space: SearchSpace, supernet: Supernet, architecture: Architecture) -> None:
        """Called once, before the search.

        Args:
            space: the search space.
            supernet: the supernet.
            architecture: the architecture.
        """

    def begin_step(self, step: SearchStep, weights: OperationWeights) -> None:
        """Fixes what the regulariser does until the next call.

        Args:
            step: the step that begins.
            weights: the step's operation weights as those before this one give them.
        """

    def reweighted(self, weights: OperationWeights) -> OperationWeights:
        """What the supernet mixes its operations by, differentiable in ``weights``; >= 0, on the simplex or not."""
        return weights

    def penalty(self, architecture: Architecture) -> Tensor | None:
        """Scalar that is added to the architecture step's objective, differentiable in the alphas; None for nothing."""
        return None

    def weights_penalty(self) -> Tensor | None:
        """Scalar that is added to the weight step's loss, differentiable in the network weights; None for nothing."""
        return None

    def numbers(self, architecture: Architecture) -> dict[str, float]:
        """What to log at the end of every epoch."""
        return {}

    def state(self) -> dict[str, Any]:
        """What :meth:`prepare` found out and wouldn't find again, as tensors and plain types, for checkpoints."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`state` gave."""
