"""Composing: command-line overrides and YAML become typed settings, and Hydra's errors become one clear message."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

import dsrna
from dsrna.config.parts import nearest, with_fractions
from dsrna.config.settings import (
    DataSettings,
    EvaluateSettings,
    RetrainSettings,
    SearchSettings,
    Settings,
    ThreatSettings,
    TrainerSettings,
)
from dsrna.errors import ConfigError

NODES = {
    "data": DataSettings,
    "threat": ThreatSettings,
    "search": SearchSettings,
    "retrain": RetrainSettings,
    "evaluate": EvaluateSettings,
    "trainer": TrainerSettings,
}


def conf_folder() -> Path:
    """The folder of YAML files: ``dsrna/conf`` in an installed wheel, ``conf`` beside the package in a checkout."""
    package = Path(dsrna.__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def choices(group: str) -> list[str]:
    """The names that ``group=NAME`` takes."""
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))


def groups() -> list[str]:
    """The config groups."""
    return sorted(path.name for path in conf_folder().iterdir() if path.is_dir() and any(path.glob("*.yaml")))


def description(group: str, choice: str) -> str:
    """What a choice is: the first comment line of its file that is not Hydra's package header."""
    lines = (conf_folder() / group / f"{choice}.yaml").read_text(encoding="utf-8").splitlines()
    comments = [line.lstrip("# ") for line in lines if line.startswith("#") and "@package" not in line]
    return comments[0] if comments else ""


def compose(entry: str, overrides: list[str]) -> DictConfig:
    """Composes ``conf/ENTRY.yaml`` with the user's overrides (no sweeps).

    Raises:
        ConfigError: an unknown group, choice or key (the nearest name is suggested), or a malformed override.
    """
    _refuse_repeats(overrides)
    try:
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
            return hydra.compose(entry, overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explain(entry, str(error))) from error
    finally:
        GlobalHydra.instance().clear()


def key_of(override: str) -> str:
    """The key that an override sets.

    >>> key_of("+experiment=digits_pcdarts")
    'experiment'
    """
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def settings_from(config: DictConfig) -> Settings:
    """Typed settings from a composed config.

    Raises:
        ConfigError: a key is unknown, missing, or of the wrong type.
    """
    try:
        plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise ConfigError(_misfit(error, "", Settings)) from error
    plain.pop("hydra", None)
    known = {"from" if field.name == "start_from" else field.name for field in fields(Settings)}
    for key in plain:
        if key not in known:
            raise ConfigError(f"Unknown key `{key}`.{nearest(key, known)} See `python -m dsrna show` for the keys.")
    if removed := sorted(known - set(plain)):
        key = removed[0]
        raise ConfigError(f"`{key}` was removed, but is needed: leave out ~{key} or {key}=null. (conf: {key})")
    plain["start_from"] = plain.pop("from")
    for key, schema in NODES.items():
        if not isinstance(plain[key], dict):
            raise ConfigError(f"Expected keys below `{key}`, got {plain[key]!r}: write {key}.KEY=VALUE. (conf: {key})")
        try:
            plain[key] = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), plain[key]))
        except OmegaConfBaseException as error:
            raise ConfigError(_misfit(error, key, schema)) from error
    for key in plain.keys() - set(NODES):
        plain[key] = with_fractions(plain[key])
    plain["evaluate"].attacks = with_fractions(plain["evaluate"].attacks)
    return Settings(**plain)


def _refuse_repeats(overrides: list[str]) -> None:
    """Hydra would take the last one, and a run's record would show both."""
    keys = [key_of(override) for override in overrides if not override.startswith("~")]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"`{key}` is given {keys.count(key)} times: keep one of them. (conf: {key})")


def _misfit(error: OmegaConfBaseException, node: str, schema: type) -> str:
    """One sentence for what OmegaConf refuses in ``node``."""
    key = ".".join(part for part in (node, getattr(error, "full_key", None)) if part)
    if isinstance(error, MissingMandatoryValue):
        return f"`{key}` has no default: give it as {key}=VALUE. (conf: {key})"
    if isinstance(error, ConfigKeyError):
        known = [f"{node}.{field.name}" for field in fields(schema)]
        return f"Unknown key `{key}`.{nearest(key, known)} There are: {', '.join(known)}. (conf: {key})"
    if "is not Optional" in str(error):
        return f"Expected a value, got null. (conf: {key})"
    return f"{str(error).splitlines()[0]}. (conf: {key})"


def _explain(entry: str, message: str) -> str:
    """One sentence for Hydra's message, with the nearest name."""
    if match := re.search(r"Could not find '([\w/.-]+)'", message):
        group, _, name = match[1].rpartition("/")
        if group.startswith("hydra/"):
            return f"Hydra has no {group} `{name}`: is the plugin that brings it installed? (conf: {group})"
        names = choices(group) if group else groups()
        return f"Unknown {group or 'config'} `{name}`.{nearest(name, names)} Choose from: {', '.join(names)}."
    if match := re.search(r"Could not (?:override|append to config) '([^']+)'", message):
        key = match[1].lstrip("+~")
        if key == "experiment":
            return "`experiment` is added to the defaults: write +experiment=NAME."
        if "already at" in message or "An item is already" in message:
            return f"`{key}` is there already: write {key}=… without the +."
        return f"Unknown key `{key}`.{_nearest_key(entry, key)}"
    return unreadable(message)


def unreadable(message: str) -> str:
    """One sentence for what Hydra's parser says about an override."""
    text = " ".join(message.split())
    if match := re.search(r"Error parsing override '(.*?)' (.*?)(?: expecting \{.*)?(?: See http.*)?$", text):
        return (
            f"Can't read the override `{match[1]}` ({match[2]}): write KEY=VALUE, and quote a value with special "
            "characters, as in 'KEY=\"a=b\"'."
        )
    return text


def _nearest_key(entry: str, key: str) -> str:
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
        config = OmegaConf.to_container(hydra.compose(entry), resolve=False)
    known = sorted({*_flat(config), *groups()})
    best = nearest(key, known)
    if not best and "." in key:  # a key of a part that the default doesn't choose
        return f" See `python -m dsrna show` for what `{key.partition('.')[0]}` holds."
    return best or " See `python -m dsrna show` for the keys."


def _flat(node: Any, prefix: str = "") -> list[str]:
    if not isinstance(node, dict):
        return [prefix]
    below = [name for key, value in node.items() for name in _flat(value, f"{prefix}.{key}" if prefix else str(key))]
    return [prefix, *below] if prefix else below
