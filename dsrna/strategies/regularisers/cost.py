"""The expected cost of the architecture, with a target."""

from __future__ import annotations

import logging
import math
from typing import Any, get_args

import torch
from torch import Tensor

from dsrna.costs.operation_costs import Cost, operation_costs
from dsrna.errors import ConfigError
from dsrna.spaces.search_space import SearchSpace
from dsrna.spaces.supernet import Supernet
from dsrna.strategies.architecture import Architecture
from dsrna.strategies.regularisers.base import Regulariser

log = logging.getLogger("dsrna")


class ExpectedCost(Regulariser):
    """weight * max(0, r / target - 1), with r the expected cost relative to that of uniform operation weights.

    The expected cost is sum_{cells, e, o} b_e w_{e,o} c_{e,o}, of expected operation weights w and edge weights b (1
    without), of operations as derived networks have them at the supernet's sizes
    (:func:`~dsrna.costs.operation_costs.operation_costs`). Being relative, the target hardly depends on the sizes, and
    on how many edges a derived cell keeps. Costs are computed once, before the search, and kept in its checkpoints: a
    latency that was measured anew would be another one.

    Args:
        kind: ``"parameters"``, ``"flops"`` (multiply-adds) or ``"latency"`` (on this machine's CPU).
        target: r up to which nothing is added, > 0; 1 is the mean operation's cost on every edge.
        weight: >= 0.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(self, kind: Cost = "parameters", target: float = 1.0, weight: float = 1.0) -> None:
        if kind not in get_args(Cost):
            raise ConfigError(f"Expected `kind` to be one of {', '.join(get_args(Cost))}, got {kind!r}. (conf: kind)")
        if not 0 < target < math.inf:
            raise ConfigError(f"Expected a finite `target` > 0, got {target}. (conf: target)")
        if not 0 <= weight < math.inf:
            raise ConfigError(f"Expected a finite `weight` >= 0, got {weight}. (conf: weight)")
        self.kind, self.target, self.weight = kind, target, weight
        self._costs: dict[str, Tensor] = {}
        self._nodes: dict[str, Tensor] = {}  # b of uniform edge weights

    def prepare(self, space: SearchSpace, supernet: Supernet, architecture: Architecture) -> None:
        """See :class:`Regulariser`."""
        self._costs = operation_costs(self.kind, space, supernet)
        for cell_type in space.cell_types:
            targets = [target for _, target in space.edges(cell_type)]
            self._nodes[cell_type] = torch.tensor([1 / targets.count(target) for target in targets]).double()
            columns = zip(space.primitives, self._costs[cell_type].sum(dim=0).tolist(), strict=True)
            log.info(
                "cost (%s) of the %s cells, each operation on every edge: %s",
                self.kind, cell_type, ", ".join(f"{name} {cost:.4g}" for name, cost in columns),
            )  # fmt: skip

    def relative(self, architecture: Architecture) -> Tensor:
        """Scalar r, differentiable in the alphas."""
        cost, uniform = [], []
        for cell_type, cell in architecture.expected().items():
            costs = self._costs[cell_type].to(cell.operations)
            per_edge, mean = (cell.operations * costs).sum(dim=1), costs.mean(dim=1)
            if cell.edges is not None:
                per_edge, mean = per_edge * cell.edges, mean * self._nodes[cell_type].to(mean)
            cost.append(per_edge.sum())
            uniform.append(mean.sum())
        return torch.stack(cost).sum() / torch.stack(uniform).sum()

    def penalty(self, architecture: Architecture) -> Tensor:
        """See :class:`Regulariser`."""
        return self.weight * (self.relative(architecture) / self.target - 1).clamp(min=0)

    def numbers(self, architecture: Architecture) -> dict[str, float]:
        """See :class:`Regulariser`."""
        return {f"relative_{self.kind}": float(self.relative(architecture).detach())}

    def state(self) -> dict[str, Any]:
        """See :class:`Regulariser`."""
        return {"costs": self._costs}

    def load_state(self, state: dict[str, Any]) -> None:
        """See :class:`Regulariser`."""
        self._costs = state["costs"]
