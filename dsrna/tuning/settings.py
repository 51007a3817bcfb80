"""The settings of a study: read and checked before any long work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from omegaconf import DictConfig
from pydantic import AfterValidator, Field

from dsrna.config.compose import compose, key_of
from dsrna.config.model import distinct, read
from dsrna.config.ranges import ranges_of
from dsrna.config.settings import RunSettings, Settings
from dsrna.config.sweep_objective import AUTO, sweep_objective
from dsrna.config.validate import validated
from dsrna.config.value_types import Count, Progress, Seed, Whole
from dsrna.errors import ConfigError
from dsrna.runs.replay import replay

_Texts = Annotated[list[str], Field(description="a list of overrides, each in quotes")]
_Seeds = Annotated[list[Seed], AfterValidator(distinct)]

USUAL = ("stages=[{stages}]", "retrain.baseline=false", "search.random_cells=0")
"""Of every trial, where its overrides don't say otherwise: what its objectives need, and no more."""
_STAGES = {"search": "search,retrain", "retrain": "retrain"}
_OF_THE_STUDY = ("seed", "name", "out", "resume", "hydra", "sweep_objective")


class TuneSettings(RunSettings):
    """All settings of a study, resolved."""

    command: Literal["search", "retrain"]
    overrides: _Texts
    ranges: Annotated[_Texts, Field(min_length=1), AfterValidator(distinct)]
    objectives: Annotated[list[str], Field(min_length=1), AfterValidator(distinct)]
    trials: Count
    seeds: Annotated[_Seeds, Field(min_length=1)]
    sampler: Literal["tpe", "gp", "nsgaii", "random"]
    pruner: Literal["auto", "median", "hyperband", "none"]
    startup: Whole
    storage: str | None
    confirmation: _Seeds
    progress: Progress

    @property
    def prunes(self) -> str:
        """Which pruner it is."""
        usual = "median" if len(self.objectives) == 1 else "none"
        return usual if self.pruner == "auto" else self.pruner


def tune_settings(config: DictConfig) -> TuneSettings:
    """Typed and checked settings of a study; the usual objective stands in the place of ``auto``.

    Raises:
        ConfigError: lists every problem, each with its key; also what a trial at either end of a range would be refused
            for.
    """
    return read(
        TuneSettings,
        config,
        lambda settings: [
            lambda: _check_keys(settings),
            lambda: _check_pruner(settings),
            lambda: _check_trials(settings),
        ],
    )


def trial_overrides(settings: TuneSettings, values: Mapping[str, str], seed: int) -> list[str]:
    """The command line of a trial.

    Args:
        settings: of the study.
        values: key -> value, as they are typed.
        seed: of the run.
    """
    own = [*settings.overrides, *(f"{key}={value}" for key, value in values.items()), f"seed={seed}"]
    given = {key_of(override) for override in own}
    usual = [text.format(stages=_STAGES[settings.command]) for text in USUAL]
    return [*(override for override in usual if key_of(override) not in given), *own]


def trial_settings(settings: TuneSettings, values: Mapping[str, str], seed: int = 0) -> Settings:
    """Those of a trial's run. Raises ConfigError."""
    overrides = trial_overrides(settings, values, seed)
    return validated(compose(settings.command, replay(settings.command, overrides)))


def ends_of(settings: TuneSettings) -> list[Settings]:
    """Those of trials at the ends of every range, one range after the other, the others at their first end.

    Raises:
        ConfigError: one of them would be refused.
    """
    ranges = ranges_of(settings.ranges)
    first = {key: each.typed(each.ends[0]) for key, each in ranges.items()}
    return [
        trial_settings(settings, first | {key: each.typed(value)})
        for key, each in ranges.items()
        for value in each.ends
    ]


def _check_keys(settings: TuneSettings) -> None:
    ranges = [key_of(key) for key in ranges_of(settings.ranges)]
    for where, keys in (("ranges", ranges), ("overrides", [key_of(each) for each in settings.overrides])):
        for key in keys:
            if key.split(".")[0] in _OF_THE_STUDY:
                raise ConfigError(f"`{key}` is the study's own, not a trial's: leave it out here. (conf: {where})")
            if where == "overrides" and key in ranges:
                raise ConfigError(f"`{key}` has a range and a value: give one of them. (conf: overrides)")


def _check_pruner(settings: TuneSettings) -> None:
    if len(settings.objectives) > 1 and settings.pruner not in ("auto", "none"):
        raise ConfigError(
            f"Expected one objective to prune by, got {len(settings.objectives)}: Optuna prunes none of several. "
            "(conf: pruner)"
        )
    if len(settings.objectives) > 1 and settings.confirmation:
        raise ConfigError("Expected one objective to confirm the best trial of: leave it []. (conf: confirmation)")


def _check_trials(settings: TuneSettings) -> None:
    for tried in ends_of(settings):
        _check_objectives(settings, tried)


def _check_objectives(settings: TuneSettings, tried: Settings) -> None:
    if {"evaluate", "report"} & set(tried.stages):
        raise ConfigError(
            "The test split chooses nothing: leave evaluate and report out of a trial's stages. (conf: overrides)"
        )
    for place, name in enumerate(settings.objectives):
        found = sweep_objective(tried.model_copy(update={"sweep_objective": name}))
        if found is None:
            raise ConfigError("A trial of these stages measures nothing on validation images. (conf: objectives)")
        if name == AUTO:
            settings.objectives[place] = found
