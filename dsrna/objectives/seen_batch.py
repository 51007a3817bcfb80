"""What the loss of a certified training sees of a network in one step."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dsrna.attacks import PGD
from dsrna.bounds.engine import BoundEngine
from dsrna.bounds.interval import Interval
from dsrna.functional.precision import full_precision
from dsrna.nn.batch_statistics import BatchStatistics, normalising_by
from dsrna.nn.chain import Divided
from dsrna.nn.modes import evaluation_mode
from dsrna.objectives.interval_regulariser import IntervalRegulariser
from dsrna.objectives.latent_box import LatentBox, Values


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
        self.generator, self._regulariser = generator, regulariser

    def margins(self, x: Tensor, eps: float, engine: str = "ibp") -> Tensor:
        """(N, K - 1) lower bounds of f_y - f_j in the ball around each image, in ascending order of the wrong classes.

        Differentiable in the weights, also by way of the statistics.
        """
        return self._margins_of(self._model, x, eps, engine)

    def margins_at(self, x: Tensor) -> Tensor:
        """(N, K - 1) margins at the images themselves, differentiable as the bounds are."""
        with normalising_by(self._statistics):
            return self._engines["ibp"](self._model, x, 0.0, self.y).lower

    def examples(self, x: Tensor, attack: PGD) -> Tensor:
        """(N, ...) what the attack finds, detached."""
        with normalising_by(self._fixed):
            return attack(self._model, x, self.y, self.generator)

    def latent_box(self, x: Tensor, eps: float, nonlinear: int) -> LatentBox:
        """The box that a ball becomes before so many last nonlinear layers, see :class:`~dsrna.nn.chain.Divided`."""
        divided, boxes = Divided(self._model, nonlinear), []

        def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
            boxes.extend(output)

        with divided.features.register_forward_hook(note):
            margins = self._margins_of(divided, x, eps)
        return LatentBox(
            tuple(box.lower for box in boxes),
            tuple(box.upper for box in boxes),
            margins,
            partial(self._logits, divided.classifier),
            partial(self._fixed_logits, divided.classifier),
        )

    def _margins_of(self, model: nn.Module, x: Tensor, eps: float, engine: str = "ibp") -> Tensor:
        with normalising_by(self._statistics), ExitStack() as stack:
            if engine == "ibp" and self._regulariser is not None:
                stack.enter_context(self._regulariser.watching())
            return self._engines[engine](model, x, eps, self.y).lower

    @property
    def _fixed(self) -> BatchStatistics:
        return {layer: (mean.detach(), variance.detach()) for layer, (mean, variance) in self._statistics.items()}

    def _logits(self, classifier: nn.Module, values: Values) -> Tensor:
        """By intervals without width: torch's BatchNorm has no derivative in its statistics."""
        with normalising_by(self._statistics), evaluation_mode(classifier), full_precision():
            (logits,) = classifier(*(Interval(value, torch.zeros_like(value)) for value in values))
        centre: Tensor = logits.centre
        return centre

    def _fixed_logits(self, classifier: nn.Module, values: Values) -> Tensor:
        with normalising_by(self._fixed), evaluation_mode(classifier), full_precision():
            (logits,) = classifier(*values)
        return logits
