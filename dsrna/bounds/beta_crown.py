"""Linear relaxation with branch and bound over ReLUs."""

from __future__ import annotations

import time
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dsrna.bounds.all_decided import multipliers_of_linear_program
from dsrna.bounds.alpha_crown import AlphaCrown, reachable
from dsrna.bounds.engine import Bounds
from dsrna.bounds.interval import Interval
from dsrna.bounds.linear_relaxation import rows_over
from dsrna.bounds.relaxation import Relaxation
from dsrna.bounds.relu_node import ReluNode
from dsrna.bounds.splits import Cases, Splits
from dsrna.bounds.substitution import Affine, lower_functions
from dsrna.errors import ConfigError
from dsrna.types import Norm

_SLOPE_STEP, _MULTIPLIER_STEP, _DECAY = 0.1, 0.05, 0.98
_CANDIDATES = 4
"""Inputs of each case that are tried before one is decided."""


class Decision(NamedTuple):
    """What branch and bound found out about one image.

    Attributes:
        lower: (K - 1,) lower bounds of the margins; those above 0 are proved to stay so.
        point: (1, C, H, W) of the ball, where a margin is not above 0; None where none was found.
        cases: how many were bounded.
    """

    lower: Tensor
    point: Tensor | None
    cases: int


class BetaCrown(AlphaCrown):
    """beta-CROWN: alpha-CROWN, then cases by the signs of ReLUs' inputs until every margin is above 0 in all of them.

    Each case is a relaxation in which decided ReLUs are lines and their signs are constraints with multipliers, which
    are optimised with the slopes. The cases with the lowest bounds are divided first, many at once; of a few inputs
    whose lines leave most open, the one is decided whose two cases have the best bounds. Where all inputs are decided,
    a linear program gives the multipliers, so that with enough time every image is decided, as proved or by a point;
    for l_2, whose balls are no boxes, some may stay open. All bounds, those of a linear program's multipliers too, are
    computed by the same substitution, with its allowance for rounding.

    Networks with other nonlinear functions than ReLU are bounded soundly, but cases decide about ReLUs alone. Bounds
    of logits, without classes, are those of alpha-CROWN. Not differentiable. What is proved of an image depends on the
    time it takes; never its truth.

    Args:
        norm: ``"linf"`` or ``"l2"``.
        batch_size: at most so many images are bounded at once by alpha-CROWN; None for all.
        steps: steps of Adam for the image's own bounds, >= 1.
        layer_steps: steps for every value that a ReLU may cut.
        seconds: for an image, > 0; the first bounds are not interrupted.
        case_steps: steps for a case, >= 1.
        parallel: cases that are divided at once, >= 1.

    Attributes:
        clock: by which the seconds are measured, ``time.monotonic`` or another.

    Raises:
        ConfigError: a setting is out of range.

    Source: Wang et al., Beta-CROWN: Efficient Bound Propagation with Per-neuron Split Constraints (NeurIPS 2021).
    Differs: intermediate bounds are those of the image in all cases; which input is decided is chosen by bounds without
    optimisation, from candidates by area (after De Palma et al., Improved Branch and Bound for Neural Network
    Verification via Lagrangian Decomposition, 2021, whose candidates are by BaBSR's scores); what ends in cases that
    are decided completely goes to a linear program's dual, not to a MIP solver.
    """

    def __init__(
        self,
        norm: Norm = "linf",
        batch_size: int | None = None,
        steps: int = 20,
        layer_steps: int = 0,
        seconds: float = 60.0,
        case_steps: int = 10,
        parallel: int = 32,
    ) -> None:
        super().__init__(norm, batch_size, steps, layer_steps)
        for name, value in (("case_steps", case_steps), ("parallel", parallel)):
            if value < 1:
                raise ConfigError(f"Expected `{name}` >= 1, got {value}. (conf: {name})")
        if not seconds > 0:
            raise ConfigError(f"Expected `seconds` > 0, got {seconds}. (conf: seconds)")
        self.clock = time.monotonic
        self.seconds, self.case_steps, self.parallel = seconds, case_steps, parallel

    @torch.no_grad()
    def bound(self, model: nn.Module, x: Tensor, eps: Tensor, y: Tensor | None) -> Bounds:
        bounds = super().bound(model, x, eps, y)
        if y is None:
            return bounds
        lower = bounds.lower.clone()
        for image in (lower <= 0).any(dim=1).nonzero()[:, 0].tolist():
            one = slice(image, image + 1)
            ball = Interval.ball(x[one], eps[one], self.norm, self.unit(x))
            lower[image] = torch.maximum(lower[image], self.decide(model, ball, y[one]).lower)
        return Bounds(lower, torch.maximum(lower, bounds.upper))

    @torch.no_grad()
    def decide(self, model: nn.Module, ball: Interval, y: Tensor) -> Decision:
        """Branch and bound for one image.

        Args:
            model: the network in evaluation mode.
            ball: of N = 1 images, or any box.
            y: (1,) class.
        """
        until = self.clock() + self.seconds
        output = self.relax(model, ball)
        if ball.undefined is not None and bool(ball.undefined.any()):
            return Decision(torch.full_like(output.interval.lower[0, 1:], -torch.inf), None, 0)
        return _Search(self, model, output, ball, y).decision(until)


class _Search:
    """Branch and bound on the relaxation of one image."""

    def __init__(self, engine: BetaCrown, model: nn.Module, output: Relaxation, ball: Interval, y: Tensor) -> None:
        self._engine, self._model, self._ball, self._y = engine, model, ball, y
        self._node = output.node
        self._rows, interval = rows_over(output, y)
        self._floor = interval.lower[0]
        relus = [node for node in reachable(output.node) if isinstance(node, ReluNode)]
        self._splits = Splits(sorted(relus, key=lambda node: node.depth))
        self._cases = 0
        self.point: Tensor | None = None

    def decision(self, until: float) -> Decision:
        """Divides cases until none is open, a point is found, or time is up."""
        lower, waiting = self._floor.clone(), self._improved(self._root(), self._engine.steps)
        undecidable: list[Cases] = []
        lower = torch.maximum(lower, waiting.lower)
        waiting = waiting.at(lower <= 0)
        least = torch.full_like(lower, torch.inf)  # of the cases that are closed
        asked = torch.zeros_like(lower, dtype=torch.bool).index_fill(0, waiting.rival, True)
        while self._splits.total and len(waiting.lower) and self.point is None and self._engine.clock() < until:
            order = waiting.lower.argsort()
            chosen, waiting = waiting.at(order[: self._engine.parallel]), waiting.at(order[self._engine.parallel :])
            whole = (chosen.signs != 0).all(dim=1)
            parts = [waiting]
            if bool(whole.any()):
                cases = self._completed(chosen.at(whole))
                undecidable.append(cases.at(cases.lower <= 0))
                least = _least(least, cases.at(cases.lower > 0))
            if not bool(whole.all()):
                parents = chosen.at(~whole)
                cases = self._improved(parents.split(self._choice(parents)), self._engine.case_steps)
                least = _least(least, cases.at(cases.lower > 0))
                parts.append(cases.at(cases.lower <= 0))
            waiting = Cases.joined(parts)
        for cases in (waiting, *undecidable):
            least = _least(least, cases)
        found = torch.where(asked & least.isfinite(), least, lower)
        return Decision(torch.maximum(lower, found), self.point, self._cases)

    def _root(self) -> Cases:
        count, like = len(self._rows), self._floor
        empty = like.new_zeros(count, self._splits.total)
        slopes = self._splits.initial_slopes().to(like).expand_as(empty)
        rivals = torch.arange(count, device=like.device)
        return Cases(rivals, empty.to(torch.int8), slopes, empty, torch.full_like(like, -torch.inf))

    def _bounds(self, cases: Cases) -> tuple[Tensor, Affine]:
        self._splits.apply(cases.signs, cases.slopes, cases.multipliers)
        affine = lower_functions(self._node, self._rows[cases.rival])
        bounds = self._ball.functions(affine.rows.transpose(0, 1), affine.constant.transpose(0, 1))
        return bounds.lower[0], affine

    def _improved(self, cases: Cases, steps: int) -> Cases:
        """The cases with better slopes and multipliers, and their bounds."""
        self._cases += len(cases.lower)
        slopes, multipliers = (part.clone().requires_grad_() for part in (cases.slopes, cases.multipliers))
        groups = [{"params": [slopes], "lr": _SLOPE_STEP}, {"params": [multipliers], "lr": _MULTIPLIER_STEP}]
        optimiser = torch.optim.Adam(groups)
        best = cases
        for step in range(steps + 1):
            with torch.enable_grad():
                lower, affine = self._bounds(cases._replace(slopes=slopes, multipliers=multipliers))
                loss = -lower.sum()
            better = lower.detach() > best.lower
            best = best._replace(
                lower=torch.where(better, lower.detach(), best.lower),
                slopes=torch.where(better[:, None], slopes.detach(), best.slopes),
                multipliers=torch.where(better[:, None], multipliers.detach(), best.multipliers),
            )
            if step == steps or bool((best.lower > 0).all()) or self._splits.total == 0:
                break
            slopes.grad, multipliers.grad = torch.autograd.grad(loss, (slopes, multipliers))
            optimiser.step()
            for group in optimiser.param_groups:
                group["lr"] *= _DECAY
            slopes.detach().clamp_(0, 1)
            multipliers.detach().clamp_(min=0)
        self._look_at(affine)
        return best

    def _choice(self, cases: Cases) -> Tensor:
        """(B,) the input that is to be decided next in each case."""
        self._splits.keep_rows(True)
        self._bounds(cases)
        rows = self._splits.rows()
        self._splits.keep_rows(False)
        below, above = self._splits.areas(cases.slopes)
        scores = rows.relu() * below + (-rows).relu() * above
        scores = torch.where(cases.signs == 0, scores, -1.0)
        count = min(_CANDIDATES, self._splits.total)
        candidates = scores.topk(count, dim=1).indices
        gains = []
        for candidate in candidates.T:
            both = self._bounds(cases.split(candidate))[0].view(2, -1)
            gains.append(both.amin(dim=0) + 0.1 * both.amax(dim=0))
        open_ones = cases.signs.gather(1, candidates) == 0
        best = torch.where(open_ones, torch.stack(gains, 1), -torch.inf).argmax(dim=1)
        return candidates.gather(1, best[:, None])[:, 0]

    def _completed(self, cases: Cases) -> Cases:
        """Cases in which every sign is decided, bounded by the multipliers of their linear program."""
        parts = []
        for number in range(len(cases.lower)):
            case = cases.at(torch.tensor([number]))
            multipliers, point = multipliers_of_linear_program(self._splits, case, self._bounds, self._ball)
            if point is not None:
                self._judge(point)
            better = case._replace(multipliers=multipliers)
            parts.append(better._replace(lower=torch.maximum(case.lower, self._bounds(better)[0])))
        return Cases.joined(parts)

    def _look_at(self, affine: Affine) -> None:
        """Looks whether the network itself is wrong where the relaxation is lowest."""
        rows = affine.rows[:, 0].detach()
        self._judge(torch.where(rows > 0, self._ball.lower, self._ball.upper))

    def _judge(self, points: Tensor) -> None:
        """Looks whether the network is wrong at points of the box, which is the ball for l_inf alone."""
        if self._engine.norm != "linf":
            return
        logits = self._model(points)
        own = logits.gather(1, self._y.expand(len(logits))[:, None])
        rivals = logits.scatter(1, self._y.expand(len(logits))[:, None], -torch.inf)
        lost = (rivals.amax(dim=1) >= own[:, 0]).nonzero()[:, 0]
        if len(lost):
            self.point = points[lost[:1]]


def _least(least: Tensor, cases: Cases) -> Tensor:
    """(K - 1,) the lowest bounds so far, with more cases."""
    return least.scatter_reduce(0, cases.rival, cases.lower, "amin")
