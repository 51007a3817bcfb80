"""What stands at the places of a config that take a part: its base class, and what it is tried with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import PlainValidator, ValidationInfo

from dsrna.config.model import refused, tries_parts
from dsrna.config.objectives import KIND, retrain_objective, search_objective
from dsrna.config.optimizers import OPTIMIZER, tried_optimizer
from dsrna.config.parts import build_part, check_part, target_of, with_fractions
from dsrna.errors import ConfigError, DsrnaError
from dsrna.types import Threat

if TYPE_CHECKING:
    import torch

Part = dict[str, Any]
"""A node with a ``_target_``. It stays one in the settings; :func:`dsrna.config.parts.build_part` makes the object."""

_MANY = 10_000
_RATES = ("max_lr", "base_lr", "eta_min", "min_lr", "gamma", "factor", "start_factor", "end_factor")
_ASK_MORE = {
    "torch.optim.lbfgs.LBFGS": "an optimiser that calls the loss again in every step",
    "torch.optim.sparse_adam.SparseAdam": "an optimiser of sparse gradients",
    "torch.optim.lr_scheduler.ReduceLROnPlateau": "a schedule that asks for a loss",
}


def _tried(build: Callable[..., object]) -> PlainValidator:
    """Validates a node by what ``build(node, info)`` refuses."""

    def check(node: Any, info: ValidationInfo) -> Any:
        node = with_fractions(node)
        if not tries_parts():
            return node
        try:
            build(node, info)
        except DsrnaError as error:
            raise refused(error) from error
        return node

    return PlainValidator(check)


def _built(kind: str) -> PlainValidator:
    return _tried(lambda node, _: build_part(node, "", kind=kind))


def _with_threat(build: Callable[[Any, str, Threat], object], place: str = "") -> PlainValidator:
    """Objectives are tried with the threat; where that is wrong, its own message is enough."""

    def check(node: Any, info: ValidationInfo) -> None:
        threat = threat_in(info.context)
        if threat is not None:
            build(node, f"{place}{info.field_name}" if place else "", threat)

    return _tried(check)


def threat_in(config: Any) -> Threat | None:
    """The threat of a plain config; None where it is wrong."""
    try:
        return Threat(config["threat"]["norm"], with_fractions(config["threat"]["eps"]))
    except (DsrnaError, KeyError, TypeError):
        return None


SpacePart = Annotated[Part, _built("dsrna.spaces.search_space.SearchSpace")]
StrategyPart = Annotated[Part, _built("dsrna.strategies.strategy.Strategy")]
SelectionPart = Annotated[Part, _built("dsrna.strategies.selection.base.Selection")]
HypergradientPart = Annotated[Part, _built("dsrna.strategies.hypergradient.Hypergradient")]
MetricJoinPart = Annotated[Part, _built("dsrna.strategies.metric_join.MetricJoin")]
RegulariserPart = Annotated[Part, _built("dsrna.strategies.regularisers.base.Regulariser")]
SearchSchedulePart = Annotated[Part, _built("dsrna.strategies.schedules.base.SearchSchedule")]
LoggerPart = Annotated[Part, _built("dsrna.training.dashboards.base.Dashboard")]
AttackPart = Annotated[Part, _built("dsrna.evaluation.base.EvaluationAttack")]
CorruptionsPart = Annotated[Part, _built("dsrna.evaluation.corruption_sweep.CorruptionSweep")]
SmoothingPart = Annotated[Part, _built("dsrna.verification.smoothing.Smoothing")]
SpatialPart = Annotated[Part, _built("dsrna.evaluation.spatial.SpatialGrid")]
ProxyPart = Annotated[Part, _built("dsrna.proxies.base.Proxy")]
MethodPart = Annotated[Part, _built("dsrna.query_searches.base.QuerySearch")]
SourcePart = Annotated[Part, _tried(lambda node, _: check_part(node, "", "root", "download"))]
ObjectivePart = Annotated[Part, _with_threat(retrain_objective)]
SearchObjectivePart = Annotated[Part, _with_threat(search_objective, "search.")]
CertifiedPart = Annotated[Part, _tried(lambda node, _: check_part(node, "", "threat", kind=KIND))]
"""Built only where certified training is asked for, as it may need a package."""


def _some_optimizer(node: Any) -> torch.optim.Optimizer:
    import torch

    _refuse_demanding(node)
    return tried_optimizer(node, "", [torch.zeros(1, 2, requires_grad=True)])


def _check_alphas_optimizer(node: Any) -> None:
    """As far as it can be without alphas; :func:`dsrna.config.search_parts.check_alphas_optimizer` has some."""
    _refuse_demanding(node)
    check_part(node, "", "params", kind=OPTIMIZER)


def _check_schedule(node: Any, optimizer: Any) -> None:
    """Tries a schedule on an optimiser of one made-up weight.

    Its ``interval`` is ours, the other keys are its class's, where ``auto`` will be the number of its intervals; null
    switches a key off.
    """
    _refuse_demanding(node)
    target_of(node, "", "torch.optim.lr_scheduler.LRScheduler")
    if node.get("interval", "epoch") not in ("epoch", "step"):
        raise ConfigError(f"Expected `epoch` or `step`, got {node['interval']!r}. (conf: interval)")
    given = {key: value for key, value in node.items() if key != "interval" and value is not None}
    if optimizer is not None:
        tried = {key: _MANY if value == "auto" else value for key, value in given.items()}
        build_part(tried, "", optimizer=_some_optimizer(optimizer))
    for key in _RATES:  # torch takes negative ones, and goes uphill
        if isinstance(given.get(key), int | float) and given[key] < 0:
            raise ConfigError(f"Expected a rate of 0 or more, got {given[key]}. (conf: {key})")


def _refuse_demanding(node: Any) -> None:
    target = target_of(node, "")
    name = f"{target.__module__}.{getattr(target, '__qualname__', '')}"
    if name in _ASK_MORE:
        raise ConfigError(f"{name} is {_ASK_MORE[name]}: choose another one. (conf: _target_)")


OptimizerPart = Annotated[Part, _tried(lambda node, _: _some_optimizer(node))]
AlphasOptimizerPart = Annotated[Part, _tried(lambda node, _: _check_alphas_optimizer(node))]


def schedule_of(optimizer: str) -> PlainValidator:
    """The validator of a schedule that stands after the field of its optimiser."""
    return _tried(lambda node, info: _check_schedule(node, info.data.get(optimizer)))
