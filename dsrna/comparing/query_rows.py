"""Rows whose cells are found by queries of a proxy, as ``python -m dsrna.query`` finds them."""

from __future__ import annotations

import time
from typing import Any

from omegaconf import OmegaConf

from dsrna.comparing.replayed import overrides_of, replayed_overrides
from dsrna.comparing.settings import RowSettings
from dsrna.config.compose import compose_with_hydra, key_of
from dsrna.config.parts import build_part
from dsrna.config.settings import Settings
from dsrna.data.splits import Splits
from dsrna.errors import ConfigError
from dsrna.functional.seeding import generator
from dsrna.querying.settings import QuerySettings, build_methods, guides_of, query_settings
from dsrna.ranking.run import images_to_score
from dsrna.ranking.scoring import Scorer, one_thread
from dsrna.runs.request import choices_of
from dsrna.stages.job import at_most
from dsrna.strategies.selection.sampling import equal_weights, sampled_cell


def composed_query(
    row: RowSettings, config_folders: list[str], shared: Settings, config: dict[str, Any], choices: dict[str, str]
) -> tuple[QuerySettings, dict[str, Any], dict[str, str]]:
    """Settings, config and choices of a row's search, on the images, the space and in the threat model of all rows.

    Networks that are scored have the cells and channels of a search's supernet, unless the row says others.

    Args:
        row: with a ``query``.
        config_folders: override that names config folders of the user's.
        shared, config, choices: what the row's networks are trained by.

    Raises:
        ConfigError: the settings are wrong, or lead to no one cell.
    """
    limits, own = shared.trainer.limits, row.query or []
    sizes = {
        "repeats": 1,
        "cells": at_most(shared.search.cells, limits.cells),
        "channels": at_most(shared.search.channels, limits.channels),
        "progress": shared.trainer.progress,
    }
    of_all = [*replayed_overrides(config, choices), *overrides_of("space", config)]
    usual = [*of_all, *(f"{key}={value}" for key, value in sizes.items())]
    replaced = {key_of(override) for override in own}
    typed = [override for override in usual if key_of(override) not in replaced]
    try:
        found, of_hydra = compose_with_hydra("query", [*config_folders, *typed, *own])
        settings = query_settings(found)
        several = [name for name, method in build_methods(settings).items() if method.several_objectives]
        if several or len(settings.method) != 1 or len(guides_of(settings)) != 1:
            raise ConfigError(
                "Expected one method for one objective, guided by one proxy, as in query=['proxy=[croze]', "
                f"'method=[mutate]'], got {', '.join(settings.method)} guided by {', '.join(guides_of(settings))}. "
                "(conf: rows)"
            )
    except ConfigError as error:
        raise ConfigError(f"Row {row.name}: {error}") from error
    plain: dict[str, Any] = OmegaConf.to_container(found, resolve=True)  # type: ignore[assignment]
    return settings, plain, choices_of(of_hydra)


def query_seconds(settings: QuerySettings, splits: Splits) -> float:
    """What a search by queries will take: as if each asked for another cell that costs what a random one does."""
    space = build_part(settings.space, "space")
    x, y = images_to_score(splits, settings.images, settings.seed)
    scorer = Scorer(
        proxies=settings.proxy, x=x, y=y, classes=splits.train.classes, mean=splits.mean, std=splits.std,
        cells=settings.cells, channels=settings.channels, repeats=1, seed=settings.seed, space=space,
    )  # fmt: skip
    cell = sampled_cell(space, equal_weights(space), generator(0, "rehearsal"))
    began = time.perf_counter()
    with one_thread():
        scorer.scores_of(cell, "rehearsal")
    return settings.budget * (time.perf_counter() - began)
