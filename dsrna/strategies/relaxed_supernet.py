"""A supernet and its architecture as one network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dsrna.spaces.operation_weights import check_not_negative
from dsrna.spaces.supernet import Supernet
from dsrna.strategies.architecture import Architecture
from dsrna.strategies.regularisers.base import Regulariser
from dsrna.strategies.search_step import SearchStep
from dsrna.types import OperationWeights


class RelaxedSupernet(nn.Module):
    """x -> supernet(x, operation_weights()): what metrics and attacks see.

    Args:
        supernet: its parameters are the network weights.
        architecture: its parameters are the alphas.
        regularisers: change the operation weights, in this order.
    """

    def __init__(
        self, supernet: Supernet, architecture: Architecture, regularisers: Sequence[Regulariser] = ()
    ) -> None:
        super().__init__()
        self.supernet = supernet
        self.architecture = architecture
        self.regularisers = tuple(regularisers)

    def begin_step(self, step: SearchStep) -> None:
        """Fixes what the architecture and the regularisers draw until the next call.

        Raises:
            ConfigError: a weight that comes of it is negative.
        """
        self.architecture.begin_step(step.progress, step.generator)
        weights = self.architecture()
        for regulariser in self.regularisers:
            regulariser.begin_step(step, weights)
            weights = regulariser.reweighted(weights)
        check_not_negative(weights)

    def operation_weights(self) -> OperationWeights:
        """Those of the step, as the architecture and the regularisers give them."""
        weights: OperationWeights = self.architecture()
        for regulariser in self.regularisers:
            weights = regulariser.reweighted(weights)
        return weights

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (N, C, H, W) in [0, 1] to logits (N, K), differentiable in x, network weights and alphas."""
        return self.supernet(x, self.operation_weights())

    def expected_logits(self, x: Tensor) -> Tensor:
        """The same under the expected operation weights: what stands for the architecture between steps."""
        return self.supernet(x, self.architecture.expected())
