"""The certified lower bound of DSRNA."""

from __future__ import annotations

import math
import sys
from typing import Literal, TypeGuard, get_args

import torch
from torch import Tensor, nn

from dsrna.bounds.engine import MarginSummary, Reduction
from dsrna.bounds.engines import bound_engine
from dsrna.bounds.eps_schedule import EpsSchedule
from dsrna.errors import ConfigError, NonFiniteError
from dsrna.functional.margins import margin
from dsrna.functional.precision import full_precision
from dsrna.functional.root import bisect_in_log
from dsrna.metrics.base import RobustnessMetric
from dsrna.nn.modes import BatchNormMode
from dsrna.types import Norm

EngineName = Literal["ibp", "crown_ibp"]
Form = Literal["margin", "radius"]

_SMALLEST_EPS = 1e-30
"""Where the search for a matching eps ends: far below the last digit of a pixel, since the bounds of a supernet of 8
cells are that much wider than its ball, and far above what single precision can't tell from 0."""
_FIRST_STEPS = 20
"""Bisections for the first matching eps: the interval of 30 decades shrinks to a factor of 1.00007."""
_BRACKET = 1000.0
"""A radius is looked for between eps / 1000 and 1000 eps."""


class Certified(RobustnessMetric):
    """R_CB(x, y): how much of the margin f_y - f_j a certified bound leaves over on the ball around the image.

    Let L_j <= f_y - f_j <= U_j be sound bounds on the ball of radius eps, for every wrong class j. Both forms are
    asinh(z): z itself near 0, and sign(z) ln(2 |z|) far from it, so that a bound that is a million times too loose
    gives a score of about -15 and a gradient of the relative size of a change, and never drowns the loss.

    ``margin``: z = min_j L_j / s (or with the mean over j, which linear relaxation bounds as one function), in units
        of the logit spread s: the standard deviation over the K classes of the logits in the middle of their intervals
        (for eps -> 0 that of the logits). s comes with the same bounds, so it costs nothing, and it isn't detached: a
        network whose logits are all multiplied by a number gets the same score, so the alphas can't raise it by
        shrinking the logits, nor does its scale drift with depth. For eps -> 0, z is at most K / sqrt(K - 1).
    ``radius``: z = r / eps, with r the certified radius, the largest one with min_j L_j(r) >= 0. r is found by
        bisection in log r between eps / 1000 and 1000 eps, without gradients, then moved by one Newton step inside the
        last bracket; its derivative is that of the implicit function, dr/dalpha = -(dm/dalpha) / (dm/dr) with
        m = min_j L_j. Images that are misclassified have no radius: they take the margin form, at eps.

    eps is a number, or moves with the search's progress to a number, or is ``"auto"``: where the mean width U - L of
    the bounds equals the mean of s, so that the bound says something about a network whatever its depth (at the
    eps of a threat the bounds of a supernet are vacuous). The first call looks for that eps by bisection on its images;
    from then on each :meth:`advance` multiplies eps by the square root of spread / width of the call before, at most by
    2. So eps is the same for all images and within a call, and it is in :attr:`numbers`, which travel in the
    checkpoint.

    A network that ignores its input has bounds without width and scores about 0: more than any network that works, as
    long as its bounds are wider than its margins.

    The score is a function of a sound bound, of the network with BatchNorm's running statistics: the bound of a network
    whose statistics are those of its batch would have to bound these as well. eps at ``auto`` is far below what an
    attack has to spend, so it ranks networks, it doesn't certify images.

    Differentiable in network weights and operation weights. Cost: the engine's bounds, once (``margin``), or
    ``bisection_steps`` + 2 times of which all but one are without gradients (``radius``).

    Args:
        norm: ``"linf"`` or ``"l2"``.
        engine: ``"ibp"`` or ``"crown_ibp"``, see :mod:`dsrna.bounds`.
        form: see above.
        reduction: ``"min"`` or ``"mean"`` over the wrong classes; None for the mean in ``margin``, which experiments
            rank no worse than the minimum and which is less noisy, and for the minimum in ``radius``, which knows no
            other.
        eps: ``"auto"``, or a radius in [0, 1] pixel units, > 0.
        eps_start: None, or a radius > 0 from which eps moves linearly to ``eps``, which must be a number then.
        eps_begin, eps_stop: shares of the search's steps, 0 <= eps_begin <= eps_stop <= 1: when eps starts to move,
            and when it has arrived.
        bisection_steps: of ``radius``, >= 1; each halves ln(1000).
        batch_norm: ``"running"``; see above.

    Raises:
        ConfigError: a value is out of range.

    Source: Hosseini, Yang, Xie, DSRNA (CVPR 2021), section 3.1.1; they don't say which ball, eps and scalar they take.
    Differs from it in the units and in the engines; the radius is what they tabulate, made differentiable.
    """

    rewards_ignoring_the_input = True
    scale_free = True

    def __init__(
        self,
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
        if batch_norm != "running":
            raise ConfigError(
                "A certified bound holds for the network with BatchNorm's running statistics alone, got "
                f"`batch_norm: {batch_norm}`; use `batch_norm: running`. (conf: batch_norm)"
            )
        if reduction is None:
            reduction = "min" if form == "radius" else "mean"
        for name, value, choices in (("form", form, Form), ("reduction", reduction, Reduction)):
            if value not in get_args(choices):
                raise ConfigError(
                    f"Expected `{name}` to be one of {', '.join(get_args(choices))}, got {value!r}. (conf: {name})"
                )
        if form == "radius" and reduction != "min":
            raise ConfigError(
                f"The certified radius is that of the closest wrong class, got `reduction: {reduction}`; use "
                "`reduction: min` or `form: margin`. (conf: reduction)"
            )
        if not isinstance(bisection_steps, int) or bisection_steps < 1:
            raise ConfigError(f"Expected `bisection_steps` >= 1, got {bisection_steps!r}. (conf: bisection_steps)")
        self._engine = bound_engine(engine, norm, among=get_args(EngineName))
        self.form = form
        self.reduction = reduction
        self._schedule = (
            None if eps == "auto" and eps_start is None else _schedule(eps, eps_start, eps_begin, eps_stop, norm)
        )
        self._given_eps = None if self._schedule is None else self._schedule.at(0.0)
        self.bisection_steps = bisection_steps
        self._numbers: dict[str, float] = {}

    @property
    def numbers(self) -> dict[str, float]:
        """``eps`` in use, and at it the ``bound_width`` and ``logit_spread`` of the last call, mean over its images."""
        return dict(self._numbers)

    def restore(self, numbers: dict[str, float]) -> None:
        """See :meth:`RobustnessMetric.restore`."""
        self._numbers = {name: numbers[name] for name in ("eps", "bound_width", "logit_spread") if name in numbers}

    def advance(self, progress: float) -> None:
        """See :meth:`RobustnessMetric.advance`; ``auto`` moves eps to where bound width and logit spread agree."""
        if self._schedule is not None:
            self._given_eps = self._schedule.at(progress)
            return
        if not self._numbers:
            return
        eps, width, spread = (self._numbers[name] for name in ("eps", "bound_width", "logit_spread"))
        # At most a factor of 2: one odd batch mustn't throw eps off.
        factor = 2.0 if width <= spread / 4 else max(0.5, math.sqrt(spread / width))
        self._numbers["eps"] = eps * factor

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        """See the class. Draws no random numbers."""
        eps = self._eps_for(model, x, y)
        if self.form == "radius":
            return self._radius_score(model, x, y, eps)
        margins = self._margins(model, x, y, eps)
        self._take_note(eps, margins)
        return torch.asinh(_in_spreads(margins))

    def _eps_for(self, model: nn.Module, x: Tensor, y: Tensor) -> float:
        if self._given_eps is not None:
            return self._given_eps
        if "eps" in self._numbers:
            return min(self._numbers["eps"], self._largest_eps(x))

        def narrow(eps: Tensor) -> Tensor:
            margins = self._margins(model, x, y, eps)
            return margins.width.mean() <= margins.spread.mean()

        with torch.no_grad():
            low, _ = bisect_in_log(
                narrow, x.new_tensor(_SMALLEST_EPS), x.new_tensor(self._largest_eps(x)), _FIRST_STEPS
            )
        return float(low)

    def _largest_eps(self, x: Tensor) -> float:
        """Where the ball holds every image."""
        return 1.0 if self._engine.norm == "linf" else math.sqrt(x[0].numel())

    def _margins(self, model: nn.Module, x: Tensor, y: Tensor, eps: float | Tensor) -> MarginSummary:
        margins = self._engine.summary(model, x, eps, y, self.reduction)
        # Logits that don't differ by more than the rounding of their bounds: as large as that, whatever their scale.
        rounding = torch.finfo(margins.width.dtype).eps * margins.width.detach()
        return margins._replace(spread=margins.spread.maximum(rounding))

    def _take_note(self, eps: float, margins: MarginSummary) -> None:
        if not bool(margins.lower.isfinite().all()):
            raise NonFiniteError(
                f"The bounds of margins at eps {eps:.4g} are NaN or infinite, so either the network's weights are, or "
                "eps is too large for its depth: use `eps: auto`. (conf: metric.eps)"
            )
        self._numbers = {
            "eps": eps,
            "bound_width": margins.width.mean().item(),
            "logit_spread": margins.spread.mean().item(),
        }

    def _radius_score(self, model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
        with torch.no_grad():
            with full_precision():  # as the bounds that are compared with it
                correct = margin(model(x), y) > 0
            at_eps = self._margins(model, x, y, eps)
            self._take_note(eps, at_eps)
            low = torch.where(at_eps.lower >= 0, eps, eps / _BRACKET)
            high = torch.where(at_eps.lower >= 0, min(eps * _BRACKET, self._largest_eps(x)), eps)
            low, high = bisect_in_log(
                lambda radii: self._margins(model, x, y, radii).lower >= 0,
                low.to(x.dtype),
                high.to(x.dtype),
                self.bisection_steps,
            )
            radii = torch.where(correct, low.sqrt() * high.sqrt(), eps)
        with torch.enable_grad():
            margins = self._margins(model, x, y, radii.requires_grad_())
            (slope,) = torch.autograd.grad(margins.lower.sum(), radii, retain_graph=True)
            # A bound that doesn't fall with the radius crosses 0 nowhere: no step and no gradient.
            run = torch.where(slope < 0, 1 / slope, 0.0)
            moved = (radii - margins.lower * run).detach().clamp(low, high)
            radius = moved - (margins.lower - margins.lower.detach()) * run
            score = torch.asinh(torch.where(correct, radius / eps, _in_spreads(margins)))
        return score if torch.is_grad_enabled() else score.detach()


def _in_spreads(margins: MarginSummary) -> Tensor:
    """(N,) the lower bounds in units of the spread; 0 where all logits are equal and their bounds have no width."""
    return margins.lower / margins.spread.masked_fill(margins.spread == 0, 1)


def _schedule(eps: float | str, start: float | None, begin: float, stop: float, norm: Norm) -> EpsSchedule:
    """The checked schedule; a constant one without ``start``."""
    if eps == "auto":
        raise ConfigError(
            f"`eps: auto` finds its own radius, got `eps_start: {start}` as well; give `eps` as a number, or leave "
            "`eps_start` out. (conf: eps_start)"
        )
    largest, text = (1.0, "in (0, 1]") if norm == "linf" else (sys.float_info.max, "> 0")
    for name, kind, radius in (("eps", "`auto` or a radius", eps), ("eps_start", "null or a radius", start)):
        missing = name == "eps_start" and radius is None
        if not (missing or (_is_number(radius) and 0 < radius <= largest)):
            raise ConfigError(f"Expected `{name}` to be {kind} {text}, got {radius!r}. (conf: {name})")
    if not (_is_number(begin) and _is_number(stop) and 0 <= begin <= stop <= 1):
        raise ConfigError(f"Expected 0 <= `eps_begin` <= `eps_stop` <= 1, got {begin!r} and {stop!r}. (conf: eps_stop)")
    return EpsSchedule(float(eps if start is None else start), float(eps), begin, stop)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
