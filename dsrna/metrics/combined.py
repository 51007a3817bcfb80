"""The combined metric of DSRNA."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from dsrna.errors import ConfigError
from dsrna.metrics.base import RobustnessMetric
from dsrna.metrics.certified import Certified, EngineName, Form, Reduction
from dsrna.metrics.jacobian import Derivative, Estimator, JacobianNorm
from dsrna.nn.modes import BatchNormMode
from dsrna.types import Norm


class Combined(RobustnessMetric):
    """R(x, y) = jacobian_weight * R_J(x) + certified_weight * R_CB(x, y).

    The two parts are in units of their own, see :class:`~dsrna.metrics.jacobian.JacobianNorm` (logits per pixel unit)
    and :class:`~dsrna.metrics.certified.Certified` (asinh of logit spreads or of eps): with both weights 1 it is the
    paper's plain sum.

    Differentiable in what both are. Cost and memory: those of both.

    Args:
        jacobian_weight: >= 0; 0 leaves the part out.
        certified_weight: >= 0; 0 leaves the part out.
        jacobian_norm: ``norm`` of the Jacobian norm.
        estimator, projections, derivative, difference_step: of the Jacobian norm.
        norm, engine, form, reduction, eps, eps_start, eps_begin, eps_stop, bisection_steps: of the certified part.
        batch_norm: of both: ``"running"``.

    Raises:
        ConfigError: a value is out of range, or both weights are 0.

    Source: Hosseini, Yang, Xie, DSRNA (CVPR 2021), DSRNA-Combined.
    """

    def __init__(
        self,
        jacobian_weight: float = 1.0,
        certified_weight: float = 1.0,
        jacobian_norm: Norm = "l2",
        estimator: Estimator = "classes",
        projections: int = 1,
        derivative: Derivative = "central_difference",
        difference_step: float = 0.01,
        norm: Norm = "linf",
        engine: EngineName = "ibp",
        form: Form = "margin",
        reduction: Reduction | None = None,
        eps: float | Literal["auto"] = "auto",
        eps_start: float | None = None,
        eps_begin: float = 0.0,
        eps_stop: float = 1.0,
        bisection_steps: int = 6,
        batch_norm: BatchNormMode = "running",
    ) -> None:
        super().__init__(batch_norm)
        self._weights = {"jacobian_weight": jacobian_weight, "certified_weight": certified_weight}
        for name, weight in self._weights.items():
            if not 0 <= weight < math.inf:
                raise ConfigError(f"Expected `{name}` >= 0, got {weight}. (conf: {name})")
        if jacobian_weight == certified_weight == 0:
            raise ConfigError("Both weights are 0: use `metric: none` instead. (conf: jacobian_weight)")
        if jacobian_norm not in ("linf", "l2", "l1"):
            raise ConfigError(
                f"Expected `jacobian_norm` to be one of linf, l2, l1, got {jacobian_norm!r}. (conf: jacobian_norm)"
            )
        self._jacobian = JacobianNorm(
            jacobian_norm, estimator, projections, derivative, difference_step, batch_norm=batch_norm
        )
        self._certified = Certified(
            norm, engine, form, reduction, eps, eps_start, eps_begin, eps_stop, bisection_steps, batch_norm
        )
        parts = [part for part, weight in self._parts() if weight > 0]
        self.rewards_ignoring_the_input = any(part.rewards_ignoring_the_input for part in parts)
        self.scale_free = all(part.scale_free for part in parts)
        self._means: dict[str, float] = {}

    @property
    def numbers(self) -> dict[str, float]:
        """The certified part's numbers, and the mean score of both parts at the last call, without their weights."""
        return self._certified.numbers | self._means

    def restore(self, numbers: dict[str, float]) -> None:
        """See :meth:`RobustnessMetric.restore`."""
        self._certified.restore(numbers)

    def advance(self, progress: float) -> None:
        """See :meth:`RobustnessMetric.advance`."""
        self._certified.advance(progress)

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        """See the class."""
        total = x.new_zeros(len(x))
        for name, (part, weight) in zip(("score_jacobian", "score_certified"), self._parts(), strict=True):
            if weight > 0:
                scores = part.score(model, x, y, generator)
                self._means[name] = scores.detach().mean().item()
                total = total + weight * scores
        return total

    def _parts(self) -> list[tuple[RobustnessMetric, float]]:
        return list(zip((self._jacobian, self._certified), self._weights.values(), strict=True))
