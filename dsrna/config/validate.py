"""Checking settings before any long work: every problem at once, each with its key and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from dsrna.config.compose import settings_from
from dsrna.config.data_source import check_source
from dsrna.config.objectives import retrain_objective, search_objective
from dsrna.config.parts import build_part, nearest, number, target_of, with_fractions
from dsrna.config.ranges import misfits, out_of_range
from dsrna.config.search_parts import check_alphas_optimizer, check_search_parts
from dsrna.config.settings import STAGES, Settings
from dsrna.config.sweep_objective import sweep_objective
from dsrna.errors import ConfigError, DsrnaError
from dsrna.types import Threat

if TYPE_CHECKING:  # importing them takes a second, which only those wait for who need them
    from dsrna.evaluation.base import EvaluationAttack
    from dsrna.evaluation.corruption_sweep import CorruptionSweep
    from dsrna.verification.settings import Verification

_MANY = 10_000
_RATES = ("max_lr", "base_lr", "eta_min", "min_lr", "gamma", "factor", "start_factor", "end_factor")

METRIC_COMMON = ("weight", "warmup_epochs", "weight_schedule")


def threat_of(settings: Settings) -> Threat:
    """The threat model that metric, attack and retrain share."""
    return Threat(settings.threat.norm, number(settings.threat.eps, "threat.eps"))  # type: ignore[arg-type]


def eps_curve(settings: Settings) -> list[float]:
    """The radii of the curve of robust accuracy against eps; ``auto`` spreads them over [0, 3 eps]."""
    threat, curve = threat_of(settings), settings.evaluate.eps_curve
    if curve == "auto":
        largest = 1.0 if threat.norm == "linf" else float("inf")
        return [min(largest, factor * threat.eps) for factor in (0.25, 0.5, 1.0, 1.5, 2.0, 3.0)]
    if not isinstance(curve, list):
        raise ConfigError(f"Expected `auto` or a list of radii, got {curve!r}. (conf: evaluate.eps_curve)")
    radii = [number(eps, "evaluate.eps_curve") for eps in curve]
    try:
        return [Threat(threat.norm, eps).eps for eps in radii]
    except ConfigError as error:
        raise ConfigError(str(error).replace("threat.eps", "evaluate.eps_curve")) from error


def attack_grid(settings: Settings) -> dict[str, tuple[EvaluationAttack, list[Threat]]]:
    """What ``evaluate.grid`` asks for: name -> the attack and the balls that it attacks in, of the threat's norm."""
    found, norm = {}, threat_of(settings).norm
    for name, node in settings.evaluate.grid.items():
        where = f"evaluate.grid.{name}"
        if node is None:
            continue
        if not isinstance(node, dict) or node.keys() != {"eps", "attack"} or not isinstance(node["eps"], list):
            raise ConfigError(
                f"Expected {{eps: [list of radii], attack: {{_target_: …}}}}, got {node!r}. (conf: {where})"
            )
        try:
            balls = [Threat(norm, number(eps, f"{where}.eps")) for eps in node["eps"]]
        except ConfigError as error:
            raise ConfigError(str(error).replace("threat.eps", f"{where}.eps")) from error
        found[name] = (build_part(node["attack"], f"{where}.attack"), balls)
    return found


def verification(settings: Settings) -> Verification | None:
    """What ``evaluate.verify`` asks for, None where it is switched off; ``auto`` stands for what the attacks get."""
    where, node, threat = "evaluate.verify", settings.evaluate.verify, threat_of(settings)
    if node is None:
        return None
    target_of(node, where)
    given = {key: with_fractions(value) for key, value in node.items()}
    if given.get("norm", "auto") == "auto":
        given["norm"] = threat.norm
    if given.get("eps", "auto") == "auto":
        if given["norm"] != threat.norm:
            raise ConfigError(
                f"Expected a list of radii for the norm {given['norm']}, got `auto`, which takes those of the threat "
                f"model, and that is {threat.norm}. (conf: {where}.eps)"
            )
        given["eps"] = [eps for eps in (*eps_curve(settings), threat.eps) if eps > 0]
    built: Verification = build_part(given, where)
    return built


def corruption_sweep(settings: Settings) -> CorruptionSweep | None:
    """What ``evaluate.corruptions`` asks for, None where it is switched off."""
    node = settings.evaluate.corruptions
    if node is None:
        return None
    built: CorruptionSweep = build_part(node, "evaluate.corruptions")
    return built


def metric_node(settings: Settings) -> dict[str, Any]:
    """The metric's node without the keys that every metric shares."""
    return {key: value for key, value in settings.metric.items() if key not in METRIC_COMMON}


def validated(config: DictConfig) -> Settings:
    """Typed settings from a composed config, checked by :func:`validate`."""
    settings = settings_from(config)
    validate(settings)
    return settings


def validate(settings: Settings) -> None:
    """Raises one ConfigError that lists every problem in the settings. Loads no data and builds no network."""
    refuse([*misfits(settings)])
    problems = [*out_of_range(settings), *_contradictions(settings)]

    def attempt(check: Callable[[], object]) -> None:
        try:
            check()
        except DsrnaError as error:
            problems.append(str(error))

    attempt(lambda: _check_threat_parts(settings, attempt))
    attempt(lambda: _check_logger(settings))
    attempt(lambda: build_part(settings.space, "space"))
    attempt(lambda: build_part(settings.strategy, "strategy"))
    attempt(lambda: check_search_parts(settings))
    attempt(lambda: build_part(settings.hypergradient, "hypergradient"))
    attempt(lambda: build_part(settings.selection, "selection"))
    attempt(lambda: build_part(metric_node(settings), "metric"))
    attempt(lambda: build_part(settings.metric_join, "metric_join"))
    attempt(lambda: check_source(settings.data, settings.space))
    for where, optimizer, schedule in (
        ("search.weights_", settings.search.weights_optimizer, settings.search.weights_schedule),
        ("retrain.", settings.retrain.optimizer, settings.retrain.schedule),
        ("certified.", settings.certified.optimizer, settings.certified.schedule),
    ):
        attempt(lambda w=where, o=optimizer, s=schedule: check_updates(w, o, s))  # type: ignore[misc]
    attempt(lambda: check_alphas_optimizer(settings))
    if not problems:
        attempt(lambda: sweep_objective(settings))
    refuse(problems)


def refuse_by(checks: Iterable[Callable[[Any], object]], settings: Any, problems: Iterable[str] = ()) -> None:
    """Raises one ConfigError that lists these problems and what the checks raise, if there is anything."""
    found = list(problems)
    for check in checks:
        try:
            check(settings)
        except DsrnaError as error:
            found.append(str(error))
    refuse(found)


def refuse(problems: Sequence[str]) -> None:
    """Raises one ConfigError that lists every problem, if there is any."""
    unique = list(dict.fromkeys(problems))
    if len(unique) == 1:
        raise ConfigError(unique[0])
    if unique:
        raise ConfigError(f"{len(unique)} settings are wrong:\n" + "\n".join(f"  - {line}" for line in unique))


def check_updates(where: str, optimizer: Any, schedule: Any) -> None:
    """Builds an optimiser and its schedule for one made-up weight, so that they say what they refuse.

    Args:
        where: begins their keys.
        optimizer: the optimiser's node.
        schedule: the schedule's: its ``interval`` is ours, the other keys are its class's, where ``auto`` will be
            the number of its intervals; null switches it, or a key, off.
    """
    import torch

    built = build_part(optimizer, f"{where}optimizer", params=[torch.zeros(1, 2, requires_grad=True)])
    if schedule is None:
        return
    place = f"{where}schedule"
    target_of(schedule, place)
    if schedule.get("interval", "epoch") not in ("epoch", "step"):
        raise ConfigError(f"Expected `epoch` or `step`, got {schedule['interval']!r}. (conf: {place}.interval)")
    given = {key: value for key, value in schedule.items() if key != "interval" and value is not None}
    build_part({key: _MANY if value == "auto" else value for key, value in given.items()}, place, optimizer=built)
    for key in _RATES:  # torch takes negative ones, and goes uphill
        if isinstance(given.get(key), int | float) and given[key] < 0:
            raise ConfigError(f"Expected a rate of 0 or more, got {given[key]}. (conf: {place}.{key})")


def _check_threat_parts(settings: Settings, attempt: Callable[[Callable[[], object]], None]) -> None:
    threat = threat_of(settings)
    attempt(lambda: retrain_objective(settings.objective, "objective", threat))
    attempt(lambda: search_objective(settings.search.weights_objective, "search.weights_objective", threat))
    attempt(lambda: search_objective(settings.search.architecture_objective, "search.architecture_objective", threat))
    for kind in ("selection_objective", "ranking_objective"):
        if (node := getattr(settings.search, kind)) is not None:
            attempt(lambda n=f"search.{kind}", v=node: search_objective(v, n, threat))  # type: ignore[misc]
    if settings.retrain.certified:  # it may need a package
        attempt(lambda: retrain_objective(settings.certified.objective, "certified.objective", threat))
    attempt(lambda: eps_curve(settings))
    attempt(lambda: verification(settings))
    attempt(lambda: corruption_sweep(settings))
    attempt(lambda: attack_grid(settings))
    for name, node in settings.evaluate.attacks.items():
        if node is not None:
            attempt(lambda n=name, v=node: build_part(v, f"evaluate.attacks.{n}"))  # type: ignore[misc]


def _check_logger(settings: Settings) -> None:
    node, known = settings.logger, {"none": (), "tensorboard": (), "wandb": ("project", "entity", "group", "mode")}
    if not isinstance(node, dict) or node.get("kind") not in known:
        return  # its range says so
    for key, value in node.items():
        if key != "kind" and key not in known[node["kind"]]:
            raise ConfigError(
                f"{node['kind']} has no setting `{key}`.{nearest(key, known['wandb'])} (conf: logger.{key})"
            )
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"Expected text or null, got {value!r}. (conf: logger.{key})")


def _contradictions(settings: Settings) -> Iterator[str]:
    """One message for each pair of settings that don't go together."""
    stages = settings.stages if isinstance(settings.stages, list) else []
    for stage in stages:
        if stage not in STAGES:
            close = nearest(str(stage), STAGES)
            yield f"Unknown stage `{stage}`.{close} Choose from: {', '.join(STAGES)}. (conf: stages)"
    if "search" in stages and settings.start_from is not None:
        yield "`from` starts after the search: use dsrna.retrain or dsrna.evaluate. (conf: from)"
    if "search" in stages and "evaluate" in stages and "retrain" not in stages:
        yield "A search leaves no trained network to evaluate: add `retrain` to the stages. (conf: stages)"
    search, limits = settings.search, settings.trainer.limits
    if "search" in stages and search.warmup_epochs >= search.epochs:
        yield (
            f"{search.warmup_epochs} warm-up epochs leave none of the {search.epochs} epochs for architecture steps. "
            "(conf: search.warmup_epochs)"
        )
    yield from _uncompilable(settings)
    known = settings.evaluate.attacks
    for name in limits.attacks or []:
        if name not in known:
            close = nearest(name, known)
            yield f"Unknown attack `{name}`.{close} Choose from: {', '.join(known)}. (conf: trainer.limits.attacks)"


def _uncompilable(settings: Settings) -> Iterator[str]:
    asking = [name for name in ("retrain", "evaluate") if getattr(settings, name).torch_compile]
    if not asking:
        return
    import torch

    from dsrna.nn.compiled.library import cpp_compiler

    if (settings.trainer.accelerator == "cpu" or not torch.cuda.is_available()) and cpp_compiler() is None:
        for name in asking:
            yield f"torch.compile needs a C++ compiler (c++, g++, clang++), found none. (conf: {name}.torch_compile)"
