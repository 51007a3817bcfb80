"""What the loss of a certified training sees of a network in one step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dsrna.attacks import PGD
from dsrna.bounds.engine import BoundEngine
from dsrna.nn.batch_statistics import BatchStatistics, normalising_by
from dsrna.objectives.interval_regulariser import IntervalRegulariser


class SeenBatch:
    """A network that normalises by the statistics of a clean batch, its margins on that batch, and attacks on it.

    Args:
        model: network (N, C, H, W) -> logits (N, K).
        y: (N,) true classes.
        statistics: of each BatchNorm in training mode, differentiable in the weights.
        engines: bound engines by name, among them ``"ibp"``.
        generator: source of the attack's random numbers.
        regulariser: sees the passes of ``"ibp"``; None for none.
    """

    def __init__(
        self,
        model: nn.Module,
        y: Tensor,
        statistics: BatchStatistics,
        engines: Mapping[str, BoundEngine],
        generator: torch.Generator | None,
        regulariser: IntervalRegulariser | None,
    ) -> None:
        self.y = y
        self._model, self._statistics, self._engines = model, statistics, engines
        self._generator, self._regulariser = generator, regulariser

    def margins(self, x: Tensor, eps: float, engine: str = "ibp") -> Tensor:
        """(N, K - 1) lower bounds of f_y - f_j in the ball around each image, in ascending order of the wrong classes.

        Differentiable in the weights, also by way of the statistics.
        """
        with normalising_by(self._statistics):
            if engine != "ibp" or self._regulariser is None:
                return self._engines[engine](self._model, x, eps, self.y).lower
            with self._regulariser.watching():
                return self._engines[engine](self._model, x, eps, self.y).lower

    def margins_at(self, x: Tensor) -> Tensor:
        """(N, K - 1) margins at the images themselves, differentiable as the bounds are."""
        with normalising_by(self._statistics):
            return self._engines["ibp"](self._model, x, 0.0, self.y).lower

    def examples(self, x: Tensor, attack: PGD) -> Tensor:
        """(N, ...) what the attack finds, detached."""
        fixed = {layer: (mean.detach(), variance.detach()) for layer, (mean, variance) in self._statistics.items()}
        with normalising_by(fixed):
            return attack(self._model, x, self.y, self._generator)
