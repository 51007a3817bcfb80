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
from omegaconf.errors import OmegaConfBaseException

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
    """What a choice is: the first comment line of its file."""
    first = (conf_folder() / group / f"{choice}.yaml").read_text(encoding="utf-8").splitlines()[0]
    return first.lstrip("# ") if first.startswith("#") and "@package" not in first else ""


def compose(entry: str, overrides: list[str]) -> DictConfig:
    """Composes ``conf/ENTRY.yaml`` with the user's overrides (no sweeps).

    Raises:
        ConfigError: an unknown group, choice or key (the nearest name is suggested), or a malformed override.
    """
    try:
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
            return hydra.compose(entry, overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explain(entry, str(error))) from error
    finally:
        GlobalHydra.instance().clear()


def settings_from(config: DictConfig) -> Settings:
    """Typed settings from a composed config.

    Raises:
        ConfigError: a key is unknown, missing, or of the wrong type.
    """
    try:
        plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise ConfigError(_first_line(error)) from error
    plain.pop("hydra", None)
    plain["start_from"] = plain.pop("from", None)
    known = {field.name for field in fields(Settings)}
    for key in plain:
        if key not in known:
            raise ConfigError(f"Unknown key `{key}`.{nearest(key, known)} (an experiment or file under conf/ sets it)")
    for key, schema in NODES.items():
        try:
            plain[key] = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), plain[key]))
        except OmegaConfBaseException as error:
            raise ConfigError(f"{_first_line(error)} (conf: {key}{_below(error)})") from error
    for key in known - set(NODES):
        plain[key] = with_fractions(plain[key])
    plain["evaluate"].attacks = with_fractions(plain["evaluate"].attacks)
    return Settings(**plain)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _below(error: OmegaConfBaseException) -> str:
    key = getattr(error, "full_key", None)
    return f".{key}" if key else ""


def _explain(entry: str, message: str) -> str:
    """One sentence for Hydra's message, with the nearest name."""
    if match := re.search(r"Could not find '([\w/.-]+)'", message):
        group, _, name = match[1].rpartition("/")
        names = choices(group) if group else groups()
        return f"Unknown {group or 'config'} `{name}`.{nearest(name, names)} Choose from: {', '.join(names)}."
    if match := re.search(r"Could not (?:override|append to config) '([^']+)'", message):
        key = match[1].lstrip("+~")
        if key == "experiment":
            return "`experiment` is added to the defaults: write +experiment=NAME."
        if "already at" in message or "An item is already" in message:
            return f"`{key}` is there already: write {key}=… without the +."
        return f"Unknown key `{key}`.{_nearest_key(entry, key)}"
    if match := re.search(r"Multiple values for ([\w/]+)", message):
        return f"`{match[1]}` is given twice: keep one of the two."
    return " ".join(message.split())


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
