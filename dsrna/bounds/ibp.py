"""Interval bound propagation."""

from __future__ import annotations

from torch import Tensor, nn

from dsrna.bounds.engine import BoundEngine, Bounds
from dsrna.bounds.interval import Interval


class IBP(BoundEngine):
    """Interval bound propagation: the cheapest and loosest engine.

    Runs on networks as they are, see :class:`~dsrna.bounds.interval.Interval` for its rules. Differentiable in images,
    eps, network weights and operation weights. Cost: about two forward passes.

    Source: Gowal et al., On the Effectiveness of Interval Bound Propagation (2018).
    """

    def bound(self, model: nn.Module, x: Tensor, eps: Tensor, y: Tensor | None) -> Bounds:
        ball = Interval.ball(x, eps, self.norm, self.unit(x))
        output = model(ball)
        if y is not None:
            output = output.margins(y)
        return Bounds(output.lower, output.upper).except_for(ball.undefined)
