"""The settings of making a table: read and checked before any long work."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from omegaconf import DictConfig
from pydantic import AfterValidator, Field

from dsrna.config.compose import run_settings
from dsrna.config.model import refused
from dsrna.config.parts import build_part, located
from dsrna.config.settings import Settings
from dsrna.config.validate import attack_grid, checks_of, corruption_sweep
from dsrna.config.value_types import Seed
from dsrna.errors import ConfigError

_EXAMPLE = "arch=13433, arch=[1,13433], arch=\"'|nor_conv_3x3~0|+…'\" or n=10"


_SEEDS = "a list of different whole numbers in [0, 2**32)"


def _check_seeds(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise refused(ConfigError(f"Expected {_SEEDS}, got {seeds}."))
    return seeds


class BenchmarkTrainingSettings(Settings):
    """All settings of making a table, resolved; those of every network, and which networks."""

    arch: Any  # an architecture string, an index, or a list of them; null for n random ones
    n: Annotated[int | None, Field(description="a number of architectures, or null")]
    seeds: Annotated[list[Seed], Field(min_length=1, description=_SEEDS), AfterValidator(_check_seeds)]
    layout: str


def benchmark_training_settings(config: DictConfig) -> BenchmarkTrainingSettings:
    """Typed and checked settings of making a table.

    Raises:
        ConfigError: lists every problem, each with its key.
    """
    own = (architectures, _check_space, _check_stages, _check_table)
    return run_settings(
        BenchmarkTrainingSettings,
        config,
        lambda settings: [*checks_of(settings), *(partial(check, settings) for check in own)],
    )


def architectures(settings: BenchmarkTrainingSettings) -> list[int]:
    """Published indices of what is to be trained.

    Raises:
        ConfigError: neither or both of ``arch`` and ``n`` are given, or two architectures are isomorphic.
        GenotypeError: there is no such architecture.
    """
    from dsrna.benchmarks.classes import index_of_architecture  # with it, torch
    from dsrna.benchmarks.sampling import random_architectures
    from dsrna.functional.seeding import generator
    from dsrna.spaces.nasbench201.index import isomorphs

    given: Any = settings.arch
    if (given is None) == (settings.n is None):
        raise ConfigError(f"Expected either architectures or a number of random ones: {_EXAMPLE}. (conf: arch)")
    if settings.n is not None:
        return random_architectures(settings.n, generator(settings.seed, "architectures"))
    every = given if isinstance(given, list) else [given]
    if not every or any(isinstance(one, bool) or not isinstance(one, int | str) for one in every):
        raise ConfigError(f"Expected {_EXAMPLE}, got {given!r}. (conf: arch)")
    with located("arch"):
        indices = [index_of_architecture(one) for one in every]
    seen: dict[int, int] = {}
    for index in indices:
        other = seen.setdefault(int(isomorphs()[index]), index)
        if other != index or indices.count(index) > 1:
            raise ConfigError(
                f"Architectures {other} and {index} are the same network, which has one place in a table: leave one "
                "out. (conf: arch)"
            )
    return indices


def _check_space(settings: BenchmarkTrainingSettings) -> None:
    space = build_part(settings.space, "space")
    if space.name != "nasbench201":
        raise ConfigError(f"The tables are of the space nasbench201, got {space.name}. (conf: space)")


def _check_stages(settings: BenchmarkTrainingSettings) -> None:
    for key, given in (("from", settings.start_from), ("model", settings.model)):
        if given is not None:
            raise ConfigError(f"`arch` says what is trained: leave out `{key}`. (conf: {key})")
    if settings.stages not in (["retrain", "evaluate"], ["retrain", "evaluate", "report"]):
        raise ConfigError(
            f"Expected stages=[retrain,evaluate], with report or without, got {settings.stages}. (conf: stages)"
        )


def _check_table(settings: BenchmarkTrainingSettings) -> None:
    from dsrna.benchmarks.own_tables import check_layout
    from dsrna.corruptions import SEVERITIES  # with it, torch

    if settings.sweep_objective is not None:
        raise ConfigError("A table of many networks gives a sweep no one number to maximise. (conf: sweep_objective)")
    if settings.threat.norm != "linf":
        raise ConfigError(f"The layouts have places for l_inf attacks, got {settings.threat.norm}. (conf: threat.norm)")
    sweep = corruption_sweep(settings)
    if sweep is not None and tuple(sweep.severities) != SEVERITIES:
        raise ConfigError(
            f"The layouts have places for severities 1 to 5, got {list(sweep.severities)}. "
            "(conf: evaluate.corruptions.severities)"
        )
    # The data set's own name is known once it is read.
    check_layout(settings.layout, "cifar10", attack_grid(settings), () if sweep is None else sweep.names)
