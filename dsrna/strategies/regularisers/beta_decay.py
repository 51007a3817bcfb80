"""Beta-decay."""

from __future__ import annotations

import torch
from torch import Tensor

from dsrna.errors import ConfigError
from dsrna.spaces.search_space import SearchSpace
from dsrna.strategies.alphas import logits_of
from dsrna.strategies.architecture import Architecture
from dsrna.strategies.regularisers.base import Regulariser
from dsrna.strategies.search_step import SearchStep
from dsrna.types import OperationWeights


class BetaDecay(Regulariser):
    """weight * progress * mean_e log sum_o exp(alpha_{e,o}): keeps the softmax weights of an edge close to each other.

    Its gradient in an alpha is its softmax weight, so that each alpha decays by the weight that it gives, and
    operations can't run away from one another early, when only some of them are trained. The factor grows linearly
    over the search from 0, as in the released code, where it ends at 50 for 100 epochs on NAS-Bench-201.

    Args:
        weight: the factor at the end of the search, >= 0.

    Raises:
        ConfigError: ``weight`` is negative or not finite.

    Source: Ye et al., beta-DARTS (CVPR 2022). Differs from the released code: the mean is over the edges of all
    cell types together, where the code takes the mean over edges of each cell type and then their sum.
    """

    def __init__(self, weight: float = 0.5) -> None:
        if not 0 <= weight < float("inf"):
            raise ConfigError(f"Expected a finite `weight` >= 0, got {weight}. (conf: weight)")
        self.weight = weight
        self._progress = 0.0

    def check(self, space: SearchSpace, architecture: Architecture) -> None:
        """See :class:`Regulariser`."""
        logits_of(architecture, "beta_decay")

    def begin_step(self, step: SearchStep, weights: OperationWeights) -> None:
        """See :class:`Regulariser`."""
        self._progress = step.progress

    def penalty(self, architecture: Architecture) -> Tensor:
        """See :class:`Regulariser`."""
        own = logits_of(architecture, "beta_decay")
        rows = torch.cat([own.logits(cell_type).logsumexp(dim=1) for cell_type in own.alphas])
        return self.weight * self._progress * rows.mean()
