"""Checking settings before any long work: every problem at once, each with its key and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dsrna.config.parts import build_part, check_part, nearest, number, target_of
from dsrna.config.settings import STAGES, Settings
from dsrna.errors import ConfigError, DsrnaError
from dsrna.types import Threat

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
    return [Threat(threat.norm, number(eps, "evaluate.eps_curve")).eps for eps in curve]


def metric_node(settings: Settings) -> dict[str, Any]:
    """The metric's node without the keys that every metric shares."""
    return {key: value for key, value in settings.metric.items() if key not in METRIC_COMMON}


def validate(settings: Settings) -> None:
    """Raises one ConfigError that lists every problem in the settings. Loads no data and builds no network."""
    problems: list[str] = []

    def attempt(check: Callable[[], object]) -> None:
        try:
            check()
        except DsrnaError as error:
            problems.append(str(error))

    def expect(good: bool, message: str) -> None:
        if not good:
            problems.append(message)

    _check_scalars(settings, expect)
    attempt(lambda: _check_threat_parts(settings, attempt))
    attempt(lambda: build_part(settings.space, "space"))
    attempt(lambda: build_part(settings.strategy, "strategy"))
    attempt(lambda: build_part(settings.hypergradient, "hypergradient"))
    attempt(lambda: build_part(metric_node(settings), "metric"))
    attempt(lambda: check_part(settings.data.source, "data.source", "root", "download"))
    for where, optimizer, schedule in (
        ("search.weights", settings.search.weights_optimizer, settings.search.weights_schedule),
        ("retrain", settings.retrain.optimizer, settings.retrain.schedule),
    ):
        joint = "_" if where == "search.weights" else "."
        attempt(lambda o=optimizer, w=where, j=joint: check_part(o, f"{w}{j}optimizer", "params"))  # type: ignore[misc]
        attempt(lambda s=schedule, w=where, j=joint: check_schedule(s, f"{w}{j}schedule"))  # type: ignore[misc]
    attempt(lambda: check_part(settings.search.alphas_optimizer, "search.alphas_optimizer", "params"))
    if problems:
        unique = list(dict.fromkeys(problems))
        if len(unique) == 1:
            raise ConfigError(unique[0])
        raise ConfigError(f"{len(unique)} settings are wrong:\n" + "\n".join(f"  - {line}" for line in unique))


def check_schedule(node: Any, where: str) -> None:
    """A schedule's node: its ``interval`` is ours, the other keys are its class's; null switches it off."""
    if node is None:
        return
    target_of(node, where)
    if node.get("interval", "epoch") not in ("epoch", "step"):
        raise ConfigError(f"Expected `epoch` or `step`, got {node['interval']!r}. (conf: {where}.interval)")
    check_part({key: value for key, value in node.items() if key != "interval"}, where, "optimizer")


def _check_threat_parts(settings: Settings, attempt: Callable[[Callable[[], object]], None]) -> None:
    threat = threat_of(settings)
    attempt(lambda: build_part(settings.objective, "objective", threat=threat))
    attempt(lambda: eps_curve(settings))
    for name, node in settings.evaluate.attacks.items():
        if node is not None:
            attempt(lambda n=name, v=node: build_part(v, f"evaluate.attacks.{n}"))  # type: ignore[misc]


def _check_scalars(settings: Settings, expect: Callable[[bool, str], None]) -> None:
    for stage in settings.stages:
        expect(stage in STAGES, f"Unknown stage `{stage}`.{nearest(stage, STAGES)} Choose from: {', '.join(STAGES)}.")
    if "search" in settings.stages and settings.start_from is not None:
        expect(False, "`from` starts after the search: use dsrna.retrain or dsrna.evaluate. (conf: from)")
    expect(settings.resume in ("never", "auto"), f"Expected `never` or `auto`, got {settings.resume!r}. (conf: resume)")
    whole = isinstance(settings.seed, int) and 0 <= settings.seed < 2**32
    expect(whole, f"Expected a whole number in [0, 2**32), got {settings.seed!r}. (conf: seed)")
    expect(settings.trainer.progress in ("auto", "on", "off"), "Expected auto, on or off. (conf: trainer.progress)")
    expect(
        settings.trainer.precision in ("32-true", "64-true", "bf16-mixed"),
        f"Expected 32-true, 64-true or bf16-mixed, got {settings.trainer.precision!r}: fp16 needs loss scaling, "
        "which the architecture step's own gradients would not get. (conf: trainer.precision)",
    )
    threads = settings.trainer.threads
    expect(
        threads == "auto" or (isinstance(threads, int) and threads >= 1),
        f"Expected `auto` or a number of CPU threads, got {threads!r}. (conf: trainer.threads)",
    )
    positive = {
        "search.epochs": settings.search.epochs,
        "search.batch_size": settings.search.batch_size,
        "search.cells": settings.search.cells,
        "search.channels": settings.search.channels,
        "retrain.epochs": settings.retrain.epochs,
        "retrain.batch_size": settings.retrain.batch_size,
        "retrain.cells": settings.retrain.cells,
        "retrain.channels": settings.retrain.channels,
        "retrain.selection_steps": settings.retrain.selection_steps,
        "evaluate.batch_size": settings.evaluate.batch_size,
    }
    for where, value in positive.items():
        expect(value >= 1, f"Expected at least 1, got {value}. (conf: {where})")
    fractions = {
        "search.weights_fraction": settings.search.weights_fraction,
        "data.validation_fraction": settings.data.validation_fraction,
    }
    for where, share in fractions.items():
        expect(0 < share < 1, f"Expected a share in (0, 1), got {share:g}. (conf: {where})")
    never_negative = {
        "search.warmup_epochs": settings.search.warmup_epochs,
        "search.gradient_clip": settings.search.gradient_clip,
        "retrain.gradient_clip": settings.retrain.gradient_clip,
        "retrain.cutout": settings.retrain.cutout,
        "trainer.checkpoint_minutes": settings.trainer.checkpoint_minutes,
    }
    for where, amount in never_negative.items():
        expect(amount >= 0, f"Expected 0 or more, got {amount:g}. (conf: {where})")
    below_one = {
        "retrain.drop_path": settings.retrain.drop_path,
        "retrain.ema_decay": settings.retrain.ema_decay,
    }
    for where, share in below_one.items():
        expect(0 <= share < 1, f"Expected a value in [0, 1), got {share:g}. (conf: {where})")
    if "search" in settings.stages and settings.search.warmup_epochs >= settings.search.epochs:
        expect(
            False,
            f"{settings.search.warmup_epochs} warm-up epochs leave none of the {settings.search.epochs} epochs for "
            "architecture steps. (conf: search.warmup_epochs)",
        )
    for key in METRIC_COMMON:
        expect(key in settings.metric, f"Every metric needs `{key}`. (conf: metric.{key})")
    schedule = settings.metric.get("weight_schedule")
    expect(
        schedule in ("constant", "linear"),
        f"Expected constant or linear, got {schedule!r}. (conf: metric.weight_schedule)",
    )
    weight = settings.metric.get("weight", 0.0)
    expect(
        isinstance(weight, int | float) and weight >= 0,
        f"Expected a weight of 0 or more (R is a score, higher is more robust), got {weight!r}. (conf: metric.weight)",
    )
