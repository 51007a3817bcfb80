"""Linear relaxation with optimised slopes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from dsrna.bounds.crown import Crown
from dsrna.bounds.engine import Bounds, MarginSummary, Reduction
from dsrna.bounds.interval import Interval
from dsrna.bounds.relaxation import Relaxation
from dsrna.bounds.relu_node import ReluNode
from dsrna.bounds.substitution import Node
from dsrna.errors import ConfigError
from dsrna.types import Norm

_STEP_SIZE = 0.1
_DECAY = 0.98


class AlphaCrown(Crown):
    """alpha-CROWN: CROWN, then the lower slopes of all ReLUs are optimised for every logit or margin and end.

    Steps of Adam from CROWN's slopes, of which the best bound is kept: never looser than CROWN. The layers' own
    bounds stay those of CROWN, where the paper optimises slopes for these too; so it's cheaper, and somewhat looser.

    Not differentiable. Cost: that of CROWN and, for each logit or margin and end, about three backward passes a step.
    As the steps amplify rounding, bounds of the same image in other batches may differ in late digits.

    Args:
        norm: ``"linf"`` or ``"l2"``.
        batch_size: at most so many images are bounded at once, to bound memory; None for all.
        steps: steps of Adam, >= 1.

    Raises:
        ConfigError: a setting is out of range.

    Source: Xu et al., Fast and Complete: Enabling Complete Verification with Rapid and Massively Parallel Incomplete
    Verifiers (ICLR 2021).
    """

    def __init__(self, norm: Norm = "linf", batch_size: int | None = None, steps: int = 20) -> None:
        super().__init__(norm, batch_size)
        if steps < 1:
            raise ConfigError(f"Expected `steps` >= 1, got {steps}. (conf: steps)")
        self.steps = steps

    @torch.no_grad()
    def bound(self, model: nn.Module, x: Tensor, eps: Tensor, y: Tensor | None) -> Bounds:
        return super().bound(model, x, eps, y)

    @torch.no_grad()
    def bound_summary(self, model: nn.Module, x: Tensor, eps: Tensor, y: Tensor, reduction: Reduction) -> MarginSummary:
        return super().bound_summary(model, x, eps, y, reduction)

    def least(self, output: Relaxation, rows: Tensor, ball: Interval) -> Tensor:
        nodes = [node for node in _reachable(output.node) if isinstance(node, ReluNode) and bool(node.unstable.any())]
        start = [node.lower for node in nodes]
        slopes = [lower.detach().expand(len(rows), *lower.shape).clone().requires_grad_() for lower in start]
        best = torch.full(rows.shape[:2], -torch.inf, dtype=rows.dtype, device=rows.device).transpose(0, 1)
        if not slopes:
            return super().least(output, rows, ball)
        optimiser = torch.optim.Adam(slopes, lr=_STEP_SIZE)
        for step in range(self.steps + 1):
            with torch.enable_grad():
                for node, slope, given in zip(nodes, slopes, start, strict=True):
                    node.lower = torch.where(node.unstable, slope, given)
                lower = super().least(output, rows, ball)
                best = torch.maximum(best, lower.detach())
                if step == self.steps:
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


def _reachable(node: Node) -> Iterator[Node]:
    seen, waiting = {node}, [node]
    while waiting:
        current = waiting.pop()
        yield current
        for source in current.inputs:
            if source not in seen:
                seen.add(source)
                waiting.append(source)
