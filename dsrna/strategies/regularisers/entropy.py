"""Entropy of the operation weights."""

from __future__ import annotations

import math

from torch import Tensor

from dsrna.errors import ConfigError
from dsrna.strategies.architecture import Architecture
from dsrna.strategies.regularisers.base import Regulariser


class Entropy(Regulariser):
    """weight * H: pushes the operation weights of every edge towards one-hot.

    H is the entropy of the expected operation weights in nats, mean over edges, then over cell types.

    Args:
        weight: finite; negative values push towards uniform weights.

    Raises:
        ConfigError: ``weight`` is not finite.
    """

    def __init__(self, weight: float = 0.1) -> None:
        if not math.isfinite(weight):
            raise ConfigError(f"Expected a finite `weight`, got {weight}. (conf: weight)")
        self.weight = weight

    def penalty(self, architecture: Architecture) -> Tensor:
        """See :class:`Regulariser`."""
        return self.weight * architecture.entropy()
