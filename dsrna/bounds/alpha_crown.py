"""Linear relaxation with optimised slopes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from dsrna.bounds.crown import Crown
from dsrna.bounds.engine import Bounds, MarginSummary, Reduction
from dsrna.bounds.interval import Interval
from dsrna.bounds.relu_node import ReluNode
from dsrna.bounds.substitution import Node
from dsrna.errors import ConfigError
from dsrna.types import Norm

_STEP_SIZE = 0.1
_DECAY = 0.98


class AlphaCrown(Crown):
    """alpha-CROWN: CROWN, then the lower slopes of all ReLUs are optimised for every logit or margin and end.

    Steps of Adam from CROWN's slopes, of which the best bound is kept: never looser than CROWN. The layers' own
    bounds stay those of CROWN, unless ``layer_steps`` says that slopes are optimised for each of these too, as the
    paper does; that's tighter, and costs that many times CROWN.

    Not differentiable. Cost: that of CROWN and, for each logit or margin and end, about three backward passes a step.
    As the steps amplify rounding, bounds of the same image in other batches may differ in late digits.

    Args:
        norm: ``"linf"`` or ``"l2"``.
        batch_size: at most so many images are bounded at once, to bound memory; None for all.
        steps: steps of Adam, >= 1.
        layer_steps: steps for every value that a ReLU may cut, >= 0; 0 leaves them as CROWN bounds them.

    Raises:
        ConfigError: a setting is out of range.

    Source: Xu et al., Fast and Complete: Enabling Complete Verification with Rapid and Massively Parallel Incomplete
    Verifiers (ICLR 2021).
    """

    def __init__(
        self, norm: Norm = "linf", batch_size: int | None = None, steps: int = 20, layer_steps: int = 0
    ) -> None:
        super().__init__(norm, batch_size)
        if steps < 1:
            raise ConfigError(f"Expected `steps` >= 1, got {steps}. (conf: steps)")
        if layer_steps < 0:
            raise ConfigError(f"Expected `layer_steps` >= 0, got {layer_steps}. (conf: layer_steps)")
        self.steps = steps
        self.layer_steps = layer_steps

    @torch.no_grad()
    def bound(self, model: nn.Module, x: Tensor, eps: Tensor, y: Tensor | None) -> Bounds:
        return super().bound(model, x, eps, y)

    @torch.no_grad()
    def bound_summary(self, model: nn.Module, x: Tensor, eps: Tensor, y: Tensor, reduction: Reduction) -> MarginSummary:
        return super().bound_summary(model, x, eps, y, reduction)

    def least(self, output: Node, rows: Tensor, ball: Interval) -> Tensor:
        return self._optimised(output, rows, ball, self.steps)

    def ends_inside(self, node: Node, rows: Tensor, ball: Interval) -> tuple[Tensor, Tensor]:
        if self.layer_steps == 0:
            return super().ends_inside(node, rows, ball)
        lower, upper = self._optimised(node, torch.cat([rows, -rows]), ball, self.layer_steps).chunk(2, dim=1)
        return lower, -upper

    def _optimised(self, output: Node, rows: Tensor, ball: Interval, steps: int) -> Tensor:
        nodes = [node for node in reachable(output) if isinstance(node, ReluNode) and bool(node.unstable.any())]
        start = [node.lower for node in nodes]
        slopes = [lower.detach().expand(len(rows), *lower.shape).clone().requires_grad_() for lower in start]
        best = torch.full(rows.shape[:2], -torch.inf, dtype=rows.dtype, device=rows.device).transpose(0, 1)
        if not slopes:
            return super().least(output, rows, ball)
        optimiser = torch.optim.Adam(slopes, lr=_STEP_SIZE)
        for step in range(steps + 1):
            with torch.enable_grad():
                for node, slope, given in zip(nodes, slopes, start, strict=True):
                    node.lower = torch.where(node.unstable, slope, given)
                lower = super().least(output, rows, ball)
                best = torch.maximum(best, lower.detach())
                if step == steps:
                    break
                # Not `backward`, which would leave gradients in the network's weights too.
                gradients = torch.autograd.grad(-lower.sum(), slopes)
            for slope, gradient in zip(slopes, gradients, strict=True):
                slope.grad = gradient
            optimiser.step()
            optimiser.param_groups[0]["lr"] *= _DECAY
            for slope in slopes:
                slope.detach().clamp_(0, 1)
        for node, given in zip(nodes, start, strict=True):
            node.lower = given
        return best


def reachable(node: Node) -> Iterator[Node]:
    seen, waiting = {node}, [node]
    while waiting:
        current = waiting.pop()
        yield current
        for source in current.inputs:
            if source not in seen:
                seen.add(source)
                waiting.append(source)
