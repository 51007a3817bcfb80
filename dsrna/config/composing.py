"""Hydra's composition of configs, remembered: the same choices are composed once in a process.

Reading the files that the choices name and merging them takes Hydra most of half a second; setting values in what came
out takes it none. A comparison composes a config for each of its rows, and a notebook or a program one after the other.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from dsrna.config.catalog import conf_folder, groups


def hydra_composed(entry: str, overrides: Sequence[str]) -> DictConfig:
    """``hydra.compose(entry, overrides, return_hydra_config=True)``, of which the choices are remembered.

    Only where nothing but choices of shipped groups and ``++key=value`` are given, which Hydra sets last of all; what
    touches Hydra's own settings, the config folders among them, or takes something away, is left to Hydra each time.

    Raises:
        HydraException, OmegaConfBaseException, ValueError: as Hydra, which is set up to compose.
    """
    read = OverridesParser.create().parse_overrides(list(overrides))
    chosen = [override for override in read if _is_choice(override)]
    values = [override for override in read if not _is_choice(override)]
    if not all(map(_is_set_last, values)):
        return hydra.compose(entry, list(overrides), return_hydra_config=True)
    config = _of_choices(conf_folder(), entry, tuple(str(override.input_line) for override in chosen))()
    ConfigLoaderImpl._apply_overrides_to_config(values, config)
    of_hydra, dirname = config.hydra, config.hydra.job.config.override_dirname
    of_hydra.overrides.task = [override.input_line for override in read]
    of_hydra.job.override_dirname = get_overrides_dirname(
        read, kv_sep=dirname.kv_sep, item_sep=dirname.item_sep, exclude_keys=dirname.exclude_keys
    )
    of_hydra.runtime.cwd = str(Path.cwd())
    return config


def _is_choice(override: Override) -> bool:
    return override.key_or_group in groups() and not override.is_delete() and not override.is_sweep_override()


def _is_set_last(override: Override) -> bool:
    key = override.key_or_group
    return override.is_force_add() and not override.is_sweep_override() and key.split(".")[0] != "hydra"


@lru_cache(maxsize=512)
def _of_choices(folder: Path, entry: str, chosen: tuple[str, ...]) -> Callable[[], DictConfig]:
    """What makes a copy of the composed config: a third of the time of ``deepcopy``, and 30 kB each to remember."""
    composed = pickle.dumps(hydra.compose(entry, list(chosen), return_hydra_config=True))
    return lambda: pickle.loads(composed)  # noqa: S301 (written two lines above)
