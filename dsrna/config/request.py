"""One job, ready to run: from composed settings, whether they were typed or given by a program."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from dsrna.config.catalog import is_searchpath
from dsrna.config.compose import key_of
from dsrna.config.fingerprint import fingerprint_of
from dsrna.config.settings import RunSettings
from dsrna.errors import ConfigError

S = TypeVar("S", bound=RunSettings)


@dataclass(frozen=True)
class Request(Generic[S]):
    """One job, ready to run.

    Attributes:
        kind: the entry point, ``search``, ``retrain``, ``evaluate``, ``rank`` or ``query``.
        settings: typed, validated.
        config_text: the resolved config as YAML.
        overrides: the job's own, of what the user typed.
        config_folders: the override that names config folders of the user's, where there is one.
        folder: the job's run folder, which may not exist yet.
        fingerprint: hash of all settings that change results.
        in_sweep: whether it is one job of a multirun.
        resume_command: the command line that goes on with the run, or with the whole multirun.
        choices: config group -> what was chosen.
    """

    kind: str
    settings: S
    config_text: str
    overrides: list[str]
    config_folders: list[str]
    folder: Path
    fingerprint: str
    in_sweep: bool
    resume_command: str
    choices: dict[str, str] = field(default_factory=dict)


def request_of(
    kind: str, settings: S, config: DictConfig, of_hydra: DictConfig | HydraConf, folder: Path, resume_command: str
) -> Request[S]:
    """The request for a job.

    Args:
        kind, settings, folder, resume_command: see :class:`Request`.
        config: what the settings were read from.
        of_hydra: Hydra's own part of the composed config.
    """
    plain = OmegaConf.to_container(config, resolve=True)
    return Request(
        kind=kind,
        settings=settings,
        config_text=OmegaConf.to_yaml(OmegaConf.create(plain)),
        overrides=list(of_hydra.overrides.task),
        config_folders=[override for override in of_hydra.overrides.hydra if is_searchpath(override)],
        folder=folder,
        fingerprint=fingerprint_of(settings),
        in_sweep=of_hydra.mode == RunMode.MULTIRUN,
        resume_command=resume_command,
        choices={group: str(choice) for group, choice in of_hydra.runtime.choices.items()},
    )


def module_of(kind: str) -> list[str]:
    """What follows ``python -m`` on the command line of an entry point.

    >>> module_of("rank"), module_of("benchmark_train")
    (['dsrna.rank'], ['dsrna.benchmark', 'train'])
    """
    return f"dsrna.{kind}".split("_")


def resume_command(kind: str, typed: list[str], multirun: bool) -> str:
    kept = [override for override in typed if not override.startswith("resume=")]
    return shlex.join(["python", "-m", *module_of(kind), *(["-m"] if multirun else []), *kept, "resume=auto"])


def given_folder(key: str, overrides: list[str]) -> Path | None:
    """The folder that the user chose by Hydra's own key."""
    given = [override for override in overrides if key_of(override) == key]
    if not given:
        return None
    folder = OverridesParser.create().parse_override(given[0]).value()
    if not isinstance(folder, str) or "${" in folder:
        raise ConfigError(f"Expected the name of a folder, got {folder!r}. (conf: {key})")
    return Path(folder)
