"""The zero-one loss of FairDARTS."""

from __future__ import annotations

import torch
from torch import Tensor

from dsrna.errors import ConfigError
from dsrna.strategies.architecture import Architecture
from dsrna.strategies.regularisers.base import Regulariser


class ZeroOne(Regulariser):
    """-weight * mean_{e,o} (w_{e,o} - 1/2)^2: pushes each operation weight to 0 or 1, whichever is nearer.

    w are the expected operation weights, and the mean is over all operations of all edges of all cell types. Made for
    relaxations by sigmoids, where uniform weights of 1/2 are its worst point. On the simplex it pushes towards one-hot
    weights: there it is -weight / O * mean_e sum_o w^2, but for a constant.

    Args:
        weight: >= 0.

    Raises:
        ConfigError: ``weight`` is negative or not finite.

    Source: Chu et al., FairDARTS (ECCV 2020): its zero-one loss of squares, with its weight of 10.
    """

    def __init__(self, weight: float = 10.0) -> None:
        if not 0 <= weight < float("inf"):
            raise ConfigError(f"Expected a finite `weight` >= 0, got {weight}. (conf: weight)")
        self.weight = weight

    def penalty(self, architecture: Architecture) -> Tensor:
        """See :class:`Regulariser`."""
        values = torch.cat([cell.operations.flatten() for cell in architecture.expected().values()])
        return -self.weight * ((values - 0.5) ** 2).mean()
