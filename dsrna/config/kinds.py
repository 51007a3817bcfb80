"""What must stand at each place of a config: the class that a part's target has to be derived from."""

from __future__ import annotations

import re
from typing import Any

from dsrna.errors import ConfigError

_KINDS = {
    r"space": "dsrna.spaces.search_space.SearchSpace",
    r"strategy": "dsrna.strategies.strategy.Strategy",
    r"selection": "dsrna.strategies.selection.base.Selection",
    r"hypergradient": "dsrna.strategies.hypergradient.Hypergradient",
    r"metric": "dsrna.metrics.base.RobustnessMetric",
    r"metric_join": "dsrna.strategies.metric_join.MetricJoin",
    r"regulariser\.[^.]+": "dsrna.strategies.regularisers.base.Regulariser",
    r"search_schedule\.[^.]+": "dsrna.strategies.schedules.base.SearchSchedule",
    r"(certified\.)?objective|search\.\w+_objective": "dsrna.objectives.base.Objective",
    r"evaluate\.attacks\.[^.]+|evaluate\.grid\.[^.]+\.attack": "dsrna.evaluation.base.EvaluationAttack",
    r"evaluate\.verify": "dsrna.verification.settings.Verification",
    r"evaluate\.corruptions": "dsrna.evaluation.corruption_sweep.CorruptionSweep",
    r"proxy\.[^.]+": "dsrna.proxies.base.Proxy",
    r"method\.[^.]+": "dsrna.query_searches.base.QuerySearch",
    r"(.*[._])?optimizer": "torch.optim.optimizer.Optimizer",
    r"(.*[._])?schedule": "torch.optim.lr_scheduler.LRScheduler",
}
_ASK_MORE = {
    "torch.optim.lbfgs.LBFGS": "an optimiser that calls the loss again in every step",
    "torch.optim.sparse_adam.SparseAdam": "an optimiser of sparse gradients",
    "torch.optim.lr_scheduler.ReduceLROnPlateau": "a schedule that asks for a loss",
}


def check_kind(target: Any, where: str) -> None:
    """Checks that a target is of the kind that belongs at ``where``; any target will do at an unknown place.

    Raises:
        ConfigError: it is not.
    """
    expected = next((base for place, base in _KINDS.items() if re.fullmatch(place, where)), None)
    lineage = [f"{base.__module__}.{base.__qualname__}" for base in getattr(target, "__mro__", ())]
    if expected is not None and expected not in lineage:
        raise ConfigError(f"Expected a class derived from {expected}, got {_shown(target)}. (conf: {where}._target_)")
    if lineage and lineage[0] in _ASK_MORE:
        raise ConfigError(f"{lineage[0]} is {_ASK_MORE[lineage[0]]}: choose another one. (conf: {where}._target_)")


def _shown(target: Any) -> str:
    return f"{getattr(target, '__module__', '')}.{getattr(target, '__qualname__', target)}"
