"""The combined metric of DSRNA."""

from __future__ import annotations

import math
from typing import Literal, get_args

from dsrna.errors import ConfigError
from dsrna.metrics.certified import Certified, EngineName, Form, Reduction
from dsrna.metrics.jacobian import Derivative, Estimator, JacobianNorm
from dsrna.metrics.weighted import Weighted
from dsrna.nn.modes import BatchNormMode
from dsrna.types import Norm


class Combined(Weighted):
    """R(x, y) = jacobian_weight * R_J(x) + certified_weight * R_CB(x, y).

    The two parts are in units of their own, see :class:`~dsrna.metrics.jacobian.JacobianNorm` (logits per pixel unit)
    and :class:`~dsrna.metrics.certified.Certified` (asinh of logit spreads or of eps): with both weights 1 it is the
    paper's plain sum.

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
        for name, weight in (("jacobian_weight", jacobian_weight), ("certified_weight", certified_weight)):
            if not 0 <= weight < math.inf:
                raise ConfigError(f"Expected `{name}` >= 0, got {weight}. (conf: {name})")
        if jacobian_norm not in get_args(Norm):
            raise ConfigError(
                f"Expected `jacobian_norm` to be one of linf, l2, l1, got {jacobian_norm!r}. (conf: jacobian_norm)"
            )
        jacobian = JacobianNorm(
            jacobian_norm, estimator, projections, derivative, difference_step, batch_norm=batch_norm
        )
        certified = Certified(
            norm, engine, form, reduction, eps, eps_start, eps_begin, eps_stop, bisection_steps, batch_norm
        )
        super().__init__(
            {
                "jacobian": {"weight": jacobian_weight, "metric": jacobian},
                "certified": {"weight": certified_weight, "metric": certified},
            }
        )

    def named(self, part: str, number: str) -> str:
        """The certified part alone has numbers: they keep their names."""
        return number
