"""The first line of a run: on which data, against which threat, by which recipe."""

from __future__ import annotations

from typing import Any

from dsrna.config.objectives import retrain_objective
from dsrna.config.parts import number
from dsrna.config.request import Request
from dsrna.config.settings import QuerySettings, RankSettings, Settings
from dsrna.config.usual import is_assumed
from dsrna.config.validate import threat_of
from dsrna.pipeline.job import at_most
from dsrna.types import Threat


def first_line(request: Request[Settings]) -> str:
    """Data, threat and recipe of a search or what follows it; of stages that train, how."""
    settings, choices = request.settings, request.choices
    limits, stages = settings.trainer.limits, settings.stages
    trainings = []
    if "search" in stages:
        trainings.append(f"search for {_sizes(settings.search, limits)}")
    if "retrain" in stages:
        objective = retrain_objective(settings.objective, "objective", threat_of(settings))
        trainings.append(f"{objective.title} for {_sizes(settings.retrain, limits)}")
    named = choices.get("recipe") or choices.get("usual", "")
    recipe = "; ".join(trainings) or "as trained"
    return f"data {choices.get('data', '')}, {_threat(request, threat_of(settings))}, recipe {named}: {recipe}"


def first_line_of_proxies(request: Request[Any]) -> str:
    """The same of a ranking or of searches by queries, which train nothing."""
    settings: RankSettings | QuerySettings = request.settings
    threat = Threat(settings.threat.norm, number(settings.threat.eps, "threat.eps"))  # type: ignore[arg-type]
    data, tables = request.choices.get("data", ""), settings.benchmark.dataset
    sizes = f"{settings.cells} cells, {settings.channels} channels, untrained"
    return f"data {data}, {_threat(request, threat)} of proxies that attack, recipe: {sizes}; tables of {tables}"


def _threat(request: Request[Any], threat: Threat) -> str:
    typed = any(override.lstrip("+").startswith("threat") for override in request.overrides)
    choice = request.choices.get("threat", "")
    guessed = choice and not typed and is_assumed("threat", choice, request.config_folders)
    hint = " (assumed of your own data; threat=NAME or threat.eps=EPS says another)" if guessed else ""
    return f"threat {threat.label}{hint}"


def _sizes(training: Any, limits: Any) -> str:
    epochs, cells = at_most(training.epochs, limits.epochs), at_most(training.cells, limits.cells)
    return f"{epochs} epochs, {cells} cells, {at_most(training.channels, limits.channels)} channels"
