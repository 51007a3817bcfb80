"""Composing: command-line overrides and YAML become typed settings, and Hydra's errors become one clear message."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import hydra
from hydra.conf import HydraConf
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from dsrna.config.catalog import conf_folder, groups, own_folders
from dsrna.config.composing import hydra_composed
from dsrna.config.explain import explained
from dsrna.config.model import Check, read
from dsrna.config.names import fill_in_name
from dsrna.config.places import refuse_unread
from dsrna.config.settings import Settings
from dsrna.config.trust import refuse_foreign_targets
from dsrna.config.usual import lend_usual
from dsrna.errors import ConfigError

S = TypeVar("S", bound=Settings)
_VALUE = re.compile(r"([A-Za-z_][\w.-]*)=")


def compose(entry: str, overrides: list[str]) -> DictConfig:
    """Composes ``conf/ENTRY.yaml`` with the user's overrides (no sweeps).

    Raises:
        ConfigError: an unknown choice (the nearest name is suggested), a malformed override, a config folder that isn't
            there, or a `_target_` that neither the config folders nor an override names. Keys that nobody knows are
            left for who reads the settings.
    """
    return compose_with_hydra(entry, overrides)[0]


def compose_with_hydra(entry: str, overrides: list[str]) -> tuple[DictConfig, DictConfig]:
    """The same, and Hydra's own part of the config: what was overridden, and what was chosen in each group."""
    _refuse_repeats(overrides)
    with _composing(entry, overrides):
        config = hydra_composed(entry, as_composed(overrides))
    with open_dict(config):
        of_hydra = config.pop("hydra")
    _refuse_modes(of_hydra)
    refuse_unread(entry, config, overrides)
    refuse_foreign_targets(config, overrides)
    complete(config, of_hydra)
    return config, of_hydra


def as_composed(overrides: Sequence[str]) -> list[str]:
    """The overrides as Hydra gets them: a key needn't be in the config already.

    So an argument that a part has a default for is given like any other. A key that nobody knows is refused by who
    reads the settings, together with all else that is wrong; Hydra would stop at the first one.

    >>> as_composed(["seed=1", "metric=none", "+experiment=digits_pcdarts", "space.primitives=[none]"])
    ['++seed=1', 'metric=none', '+experiment=digits_pcdarts', '++space.primitives=[none]']
    """
    known = groups(overrides)

    def is_value(override: str) -> bool:
        key = _VALUE.match(override)
        return key is not None and key[1] not in known and not key[1].startswith("hydra.")

    return [f"++{override}" if is_value(override) else override for override in overrides]


def as_typed(overrides: Iterable[str]) -> list[str]:
    """The overrides of a composed config, as :func:`as_composed` got them."""
    return [override.removeprefix("++") for override in overrides]


def compose_multirun(entry: str, overrides: list[str]) -> tuple[DictConfig, ConfigLoader]:
    """The config that Hydra composes for a multirun, of what isn't swept, and what composes those of its jobs.

    Raises:
        ConfigError: as of :func:`compose`.
    """
    with _composing(entry, overrides):
        loader = GlobalHydra.instance().config_loader()
        return loader.load_configuration(entry, as_composed(overrides), run_mode=RunMode.MULTIRUN), loader


@contextmanager
def _composing(entry: str, overrides: list[str]) -> Iterator[None]:
    """Hydra is set up to compose, with the user's folders; then it is as it was. Its errors are explained."""
    own_folders(overrides)
    lend_usual(overrides)
    running = GlobalHydra.instance().hydra  # of a job that Hydra runs
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
            yield
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(explained(entry, error, overrides)) from error
    finally:
        GlobalHydra.instance().clear()
        if running is not None:
            GlobalHydra.instance().initialize(running)


def complete(config: DictConfig, of_hydra: DictConfig | HydraConf) -> None:
    """Fills in what a composed config leaves to its choices."""
    fill_in_name(config, str(of_hydra.job.config_name), of_hydra.runtime.choices, map(key_of, of_hydra.overrides.task))


def _refuse_modes(of_hydra: DictConfig) -> None:
    if of_hydra.job.chdir:
        raise ConfigError(
            "hydra.job.chdir=true would change what every relative path means, `out` and `from` too: leave it out; a "
            "run's files are in its run folder. (conf: hydra.job.chdir)"
        )
    if of_hydra.mode == RunMode.MULTIRUN:
        raise ConfigError("A multirun is asked for by -m: leave out hydra.mode. (conf: hydra.mode)")


def key_of(override: str) -> str:
    """The key that an override sets.

    >>> key_of("+experiment=digits_pcdarts"), key_of("objective@certified.objective=crown_ibp")
    ('experiment', 'certified.objective')
    """
    group, _, package = override.partition("=")[0].lstrip("+~").partition("@")
    return package if package and not package.startswith("_") else group


def settings_from(config: DictConfig) -> Settings:
    """Typed settings from a composed config, each checked by itself.

    Raises:
        ConfigError: lists every key that is unknown, missing or wrong.
    """
    return run_settings(Settings, config)


def run_settings(schema: type[S], config: DictConfig, checks: Callable[[S], Iterable[Check]] = lambda _: ()) -> S:
    """The same for a schema that adds to :class:`Settings`, with checks as :func:`dsrna.config.model.read` takes."""
    with open_dict(config):  # an empty list leaves no such key
        for group in ("regulariser", "search_schedule", "logger"):
            config.setdefault(group, {})
    return read(schema, config, checks)


def _refuse_repeats(overrides: list[str]) -> None:
    """Hydra would take the last one, and a run's record would show both."""
    keys = [key_of(override) for override in overrides if not override.startswith("~")]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"`{key}` is given {keys.count(key)} times: keep one of them. (conf: {key})")
