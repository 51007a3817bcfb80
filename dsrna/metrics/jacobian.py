"""The Jacobian norm of DSRNA."""

from __future__ import annotations

import math
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from dsrna.distributed.group import per_image
from dsrna.errors import ConfigError
from dsrna.functional.gradient_norm import slope_along
from dsrna.functional.jacobian import central_difference, directional_derivative, jacobian_row
from dsrna.functional.norms import dual_direction, dual_exponent, image_norm
from dsrna.metrics.base import RobustnessMetric
from dsrna.nn.modes import BatchNormMode
from dsrna.types import Norm

Estimator = Literal["exact", "classes", "projection"]
Derivative = Literal["autograd", "central_difference"]


class JacobianNorm(RobustnessMetric):
    """R_J(x) = -(1/K) sum_k ||J_k(x)||_q, with J_k = d f_k / d x the row of logit k and 1/p + 1/q = 1.

    In the l_p ball of radius eps the logits move, on average and to first order, by at most -eps * R_J(x). That is a
    local proxy and no certificate. The score is at most 0 and in logit units per [0, 1] pixel unit; eps is left to the
    metric's weight. A network that ignores its input has the best score there is, 0. At D values an image the l_inf
    score (q = 1) is up to sqrt(D) times the l_2 score: a weight that suits one doesn't suit the other.

    Estimators (all of R_J itself, all without bias):
        ``exact``: K rows.
        ``classes``: the mean over ``projections`` rows, of classes drawn for each image without replacement; every p.
            With K or more it is the exact score.
        ``projection``: sqrt(pi/2)/K sum_k |J_k z| for a Gaussian image z, whose mean is (1/K) sum_k ||J_k||_2; l_2
            alone. One z serves all K logits, so the cost doesn't grow with K; the average over ``projections`` draws
            for each image. A single draw is noisier than a single class.

    Derivatives in the parameters (alphas, and the weights where a hypergradient asks):
        ``autograd``: that of the score at the given images, almost everywhere. Rows: double backward. ``projection``:
            forward mode, then backward.
        ``central_difference``: first-order gradients of (f_k(x + d) - f_k(x - d)) / 2 alone, with d along the direction
            u in which the row reaches its norm, held fixed (the norm's derivative doesn't depend on how u moves), or
            along z. For ``projection`` the value, too, is that difference. On smooth networks it approaches
            ``autograd`` with the square of the step. On networks with ReLU or max-pooling it doesn't: kinks that pass
            an image change its row by a jump, which ``autograd`` leaves out and the difference counts in. Over many
            images the difference is then nearer to the derivative of the mean score.

    Cost, one row: a forward and a backward pass, and for the derivative a double backward pass, or two more forward and
    backward passes. Without gradients: one forward pass and one backward pass a row; ``projection``: one forward-mode
    pass a draw (two forward passes with ``central_difference``). Memory grows with the number of rows or draws.

    Args:
        norm: p of the threat: ``"linf"`` (q = 1), ``"l2"`` (q = 2) or ``"l1"`` (q = inf).
        estimator: see above.
        projections: classes or draws an image, >= 1; ``exact`` has no use for it.
        derivative: see above.
        difference_step: root mean square of d over an image's values, in [0, 1] pixel units; x + d may leave [0, 1].
        batch_norm: see :class:`RobustnessMetric`.

    Raises:
        ConfigError: a value is out of range, or ``projection`` is asked for another norm than l_2.

    Source: Hosseini, Yang, Xie, DSRNA (CVPR 2021), eqs. 12-15; they don't say which p they search with. Differs from
    the public re-implementations: Betty's takes one Frobenius norm over the whole batch, of the row of the largest
    logit; jacobian_regularizer (Hoffman, Roberts, Yaida 2019) projects the logits, which estimates the squared
    Frobenius norm ||J||_F^2 and not R_J.
    """

    rewards_ignoring_the_input = True

    def __init__(
        self,
        norm: Norm = "linf",
        estimator: Estimator = "exact",
        projections: int = 1,
        derivative: Derivative = "autograd",
        difference_step: float = 0.01,
        batch_norm: BatchNormMode = "running",
    ) -> None:
        super().__init__(batch_norm)
        self.exponent = dual_exponent(norm)
        _expect_one_of("estimator", estimator, get_args(Estimator))
        _expect_one_of("derivative", derivative, get_args(Derivative))
        if estimator == "projection" and norm != "l2":
            raise ConfigError(
                f"`estimator: projection` estimates the l_2 norm of rows alone, got `norm: {norm}`; use "
                "`estimator: classes` (a few rows, any norm) or `estimator: exact`. (conf: estimator)"
            )
        if projections < 1:
            raise ConfigError(f"Expected `projections` >= 1, got {projections}. (conf: projections)")
        if not 0 < difference_step <= 1:
            raise ConfigError(
                f"Expected `difference_step` in (0, 1] pixel units, got {difference_step:g}. (conf: difference_step)"
            )
        self.norm: Norm = norm
        self.estimator = estimator
        self.projections = projections
        self.derivative = derivative
        self.difference_step = difference_step

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        """See the class. The true classes aren't looked at."""
        if self.estimator == "projection":
            return -self._projected_norms(model, x, generator)
        return -self._row_norms(model, x, generator)

    def _row_norms(self, model: nn.Module, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """(N,) mean of ||J_k||_q over the rows that the estimator looks at."""
        images = x.detach().requires_grad_()
        with torch.enable_grad():
            logits = model(images)
        rows = self._choose_rows(logits, generator)
        last = len(rows) - 1
        norms = [self._row_norm(model, images, logits, classes, i < last) for i, classes in enumerate(rows)]
        return torch.stack(norms).mean(dim=0)

    def _row_norm(self, model: nn.Module, images: Tensor, logits: Tensor, classes: Tensor, keep_logits: bool) -> Tensor:
        """(N,) ||J_k||_q of one class k an image."""
        with_graph = torch.is_grad_enabled()
        twice = with_graph and self.derivative == "autograd"
        row = jacobian_row(logits, images, classes, create_graph=twice, keep_logits=keep_logits)
        norms = image_norm(row, self.exponent)
        if not with_graph or self.derivative == "autograd":
            return norms

        def picked(x: Tensor) -> Tensor:
            logits: Tensor = model(x)
            return logits.gather(1, classes[:, None])[:, 0]

        slopes = slope_along(picked, images, dual_direction(row, self.norm), self.difference_step)
        # The norm's value with the difference's derivative.
        return norms + (slopes - slopes.detach())

    def _choose_rows(self, logits: Tensor, generator: torch.Generator | None) -> Tensor:
        """(number of rows, N) the classes whose rows are looked at, without repeats for an image."""
        images, classes = logits.shape
        if self.estimator == "exact" or self.projections >= classes:
            return torch.arange(classes, device=logits.device)[:, None].expand(-1, images)
        source = _required(generator)
        keys = per_image(partial(torch.rand, generator=source, device=source.device), (images, classes))
        return keys.argsort(dim=1)[:, : self.projections].T.to(logits.device)

    def _projected_norms(self, model: nn.Module, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """(N,) estimate of (1/K) sum_k ||J_k||_2 from the derivatives along Gaussian images."""
        source = _required(generator)
        derivatives = []
        for _ in range(self.projections):
            drawn = per_image(partial(torch.randn, generator=source, device=source.device, dtype=x.dtype), x.shape)
            derivatives.append(self._directional_derivative(model, x, drawn.to(x.device)))
        # E|J_k z| = sqrt(2/pi) ||J_k||_2, since J_k z is normal with standard deviation ||J_k||_2.
        return math.sqrt(math.pi / 2) * torch.stack(derivatives).abs().mean(dim=(0, 2))

    def _directional_derivative(self, model: nn.Module, x: Tensor, direction: Tensor) -> Tensor:
        if self.derivative == "autograd":
            return directional_derivative(model, x, direction)
        return central_difference(model, x, self.difference_step * direction) / self.difference_step


def _expect_one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"Expected `{name}` to be one of {', '.join(choices)}, got {value!r}. (conf: {name})")


def _required(generator: torch.Generator | None) -> torch.Generator:
    if generator is None:
        raise ConfigError(
            "Expected a `generator` for the Jacobian norm's estimator, got None; pass "
            "`dsrna.functional.seeding.generator(seed, ...)` or set `estimator: exact`. (conf: metric.estimator)"
        )
    return generator
