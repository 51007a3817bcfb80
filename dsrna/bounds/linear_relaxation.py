"""What the engines by linear relaxation share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.bounds.engine import BoundEngine, Bounds, MarginSummary, Reduction, spread_over_classes
from dsrna.bounds.interval import Interval
from dsrna.bounds.margin_matrix import margin_matrix
from dsrna.bounds.relaxation import Relaxation, Tighten
from dsrna.bounds.substitution import Affine, Node, lower_functions
from dsrna.errors import UnsupportedError


class LinearRelaxation(BoundEngine):
    """Every ReLU and max pooling between affine functions, substituted backwards from the output to the image.

    Runs on networks as they are, see :class:`~dsrna.bounds.relaxation.Relaxation`; nothing is traced or rewritten, so
    changed weights, BatchNorm statistics and operation weights count from the next call on. The bounds are intersected
    with those of interval arithmetic, which come out on the way: no engine is looser than IBP.

    Differentiable in images, eps, network weights and operation weights, if a subclass says nothing else.
    """

    def bound(self, model: nn.Module, x: Tensor, eps: Tensor, y: Tensor | None) -> Bounds:
        ball = Interval.ball(x, eps, self.norm, self.unit(x))
        output = self.relax(model, ball)
        rows, interval = rows_over(output, y)
        lower = self.least(output.node, rows, ball)
        upper = -self.least(output.node, -rows, ball)
        bounds = Bounds.ordered(torch.maximum(lower, interval.lower), torch.minimum(upper, interval.upper))
        return bounds.except_for(ball.undefined)

    def bound_summary(self, model: nn.Module, x: Tensor, eps: Tensor, y: Tensor, reduction: Reduction) -> MarginSummary:
        """One row an image is differentiated, where all margins would be K - 1.

        The smallest margin's, as only that has a gradient; or that of the mean margin, which as one function has a
        tighter bound than the mean of the margins' bounds.
        """
        ball = Interval.ball(x, eps, self.norm, self.unit(x))
        output = self.relax(model, ball)
        rows, interval = rows_over(output, y)
        if reduction == "mean":
            row, floor = rows.mean(dim=0, keepdim=True), interval.lower.mean(dim=1)
        else:
            with torch.no_grad():
                smallest = torch.maximum(self.least(output.node, rows, ball), interval.lower).argmin(dim=1)
            row = rows[smallest, torch.arange(len(x), device=x.device)].unsqueeze(0)
            floor = interval.lower.gather(1, smallest[:, None])[:, 0]
        lower = torch.maximum(self.least(output.node, row, ball)[:, 0], floor)
        with torch.no_grad():
            upper = -self.least(output.node, -row, ball)[:, 0]
        (lower,), (upper,) = (end.mT for end in Bounds(lower[:, None], upper[:, None]).except_for(ball.undefined))
        return MarginSummary(lower, (upper - lower).clamp(min=0), spread_over_classes(output.interval.centre))

    def relax(self, model: nn.Module, ball: Interval) -> Relaxation:
        """The logits, relaxed."""
        output = model(Relaxation.ball(ball, self.tightening(ball)))
        if not isinstance(output, Relaxation) or output.ndim != 2:
            raise UnsupportedError(f"Expected a network that gives logits (N, K), got {type(output).__name__}.")
        return output

    def tightening(self, ball: Interval) -> Tighten | None:
        """How the interval of what goes into a ReLU or max pooling is narrowed; None to leave it."""
        return None

    def least(self, output: Node, rows: Tensor, ball: Interval) -> Tensor:
        """(R, N, ...) rows over a node -> (N, R) lower bounds of rows . its values."""
        return self.concretised(lower_functions(output, rows), ball)

    @staticmethod
    def concretised(affine: Affine, ball: Interval) -> Tensor:
        """(N, R) the least values of R affine functions of each image in the ball."""
        return ball.functions(affine.rows.transpose(0, 1), affine.constant.transpose(0, 1)).lower


def rows_over(output: Relaxation, y: Tensor | None) -> tuple[Tensor, Interval]:
    """Rows (R, N, K) of the logits or margins, and their interval (N, R)."""
    logits = output.interval
    count, classes = logits.shape
    if y is None:
        identity = torch.eye(classes, dtype=logits.centre.dtype, device=logits.centre.device)
        return identity.unsqueeze(1).expand(classes, count, classes), logits
    return margin_matrix(y, classes, logits.centre).transpose(0, 1), logits.margins(y)
