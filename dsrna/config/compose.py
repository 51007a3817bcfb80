"""Composing: command-line overrides and YAML become typed settings, and Hydra's errors become one clear message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import hydra
from hydra.conf import HydraConf
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from dsrna.config.catalog import conf_folder, own_folders
from dsrna.config.explain import explained, misfit
from dsrna.config.names import fill_in_name
from dsrna.config.parts import nearest, with_fractions
from dsrna.config.settings import (
    CertifiedSettings,
    DataSettings,
    EvaluateSettings,
    RetrainSettings,
    SearchSettings,
    Settings,
    ThreatSettings,
    TrainerSettings,
)
from dsrna.config.trust import refuse_foreign_targets
from dsrna.config.usual import lend_usual
from dsrna.errors import ConfigError

NODES = {
    "data": DataSettings,
    "threat": ThreatSettings,
    "search": SearchSettings,
    "retrain": RetrainSettings,
    "certified": CertifiedSettings,
    "evaluate": EvaluateSettings,
    "trainer": TrainerSettings,
}


def compose(entry: str, overrides: list[str]) -> DictConfig:
    """Composes ``conf/ENTRY.yaml`` with the user's overrides (no sweeps).

    Raises:
        ConfigError: an unknown group, choice or key (the nearest name is suggested), a malformed override, a config
            folder that isn't there, or a `_target_` that neither the config folders nor an override names.
    """
    return compose_with_hydra(entry, overrides)[0]


def compose_with_hydra(entry: str, overrides: list[str]) -> tuple[DictConfig, DictConfig]:
    """The same, and Hydra's own part of the config: what was overridden, and what was chosen in each group."""
    _refuse_repeats(overrides)
    own_folders(overrides)
    lend_usual(overrides)
    try:
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
            config = hydra.compose(entry, overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(explained(entry, error, overrides)) from error
    finally:
        GlobalHydra.instance().clear()
    with open_dict(config):
        of_hydra = config.pop("hydra")
    _refuse_modes(of_hydra)
    refuse_foreign_targets(config, overrides)
    complete(config, of_hydra)
    return config, of_hydra


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
    """Typed settings from a composed config.

    Raises:
        ConfigError: a key is unknown, missing, or of the wrong type.
    """
    return Settings(**run_values(config, Settings))


def run_values(config: DictConfig, schema: type[Settings]) -> dict[str, Any]:
    """The fields of :class:`Settings`, or of a dataclass that adds to it; errors as of :func:`settings_from`."""
    with open_dict(config):  # an empty list leaves no such key
        for group in ("regulariser", "search_schedule"):
            config.setdefault(group, {})
    plain = typed_values(config, schema, NODES)
    for kind in ("weights_objective", "architecture_objective", "selection_objective", "ranking_objective"):
        setattr(plain["search"], kind, with_fractions(getattr(plain["search"], kind)))
    plain["certified"].objective = with_fractions(plain["certified"].objective)
    plain["evaluate"].attacks = with_fractions(plain["evaluate"].attacks)
    plain["evaluate"].grid = with_fractions(plain["evaluate"].grid)
    return plain


def typed_values(config: DictConfig, schema: type, nodes: Mapping[str, type]) -> dict[str, Any]:
    """The fields of a dataclass of settings, from a composed config.

    Args:
        config: as :func:`compose` gives it.
        schema: the dataclass.
        nodes: key -> dataclass of the keys below it; the other keys are parts or plain values.

    Raises:
        ConfigError: a key is unknown, missing, or of the wrong type.
    """
    try:
        plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise ConfigError(misfit(error, "", schema)) from error
    plain.pop("hydra", None)
    known = {"from" if field.name == "start_from" else field.name for field in fields(schema)}
    for key in plain:
        if key not in known:
            raise ConfigError(f"Unknown key `{key}`.{nearest(key, known)} `python -m dsrna show` prints all keys.")
    if removed := sorted(known - set(plain)):
        key = removed[0]
        raise ConfigError(f"`{key}` was removed, but is needed: leave out ~{key} or {key}=null. (conf: {key})")
    if "from" in plain:
        plain["start_from"] = plain.pop("from")
    for key, node in nodes.items():
        if not isinstance(plain[key], dict):
            raise ConfigError(f"Expected keys below `{key}`, got {plain[key]!r}: write {key}.KEY=VALUE. (conf: {key})")
        try:
            plain[key] = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(node), plain[key]))
        except OmegaConfBaseException as error:
            raise ConfigError(misfit(error, key, node)) from error
    for key in plain.keys() - set(nodes):
        plain[key] = with_fractions(plain[key])
    return plain


def _refuse_repeats(overrides: list[str]) -> None:
    """Hydra would take the last one, and a run's record would show both."""
    keys = [key_of(override) for override in overrides if not override.startswith("~")]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"`{key}` is given {keys.count(key)} times: keep one of them. (conf: {key})")
