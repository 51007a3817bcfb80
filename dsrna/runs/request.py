"""One job, ready to run: from composed settings, whether they were typed or given by a program."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from dsrna.config.catalog import is_searchpath
from dsrna.config.compose import as_typed, key_of
from dsrna.config.fingerprint import fingerprint_of
from dsrna.config.settings import RunSettings
from dsrna.errors import ConfigError

S = TypeVar("S", bound=RunSettings)


@dataclass(frozen=True)
class Request(Generic[S]):
    """One job, ready to run.

    Attributes:
        kind: the command's name, such as ``search`` or ``benchmark_train``.
        module: what follows ``python -m`` on its command line, such as ``("dsrna.benchmark", "train")``.
        settings: typed, validated.
        config: the resolved config, of plain types.
        overrides: the job's own, of what the user typed.
        config_folders: the override that names config folders of the user's, where there is one.
        folder: the job's run folder, which may not exist yet.
        fingerprint: hash of all settings that change results.
        in_sweep: whether it is one job of a multirun.
        resume_command: the command line that goes on with the run, or with the whole multirun.
        choices: config group -> what was chosen.
        launcher: Hydra's config of the launcher that was chosen for the tasks that the job consists of; None: this
            process does them.
    """

    kind: str
    module: Sequence[str]
    settings: S
    config: dict[str, Any]
    overrides: list[str]
    config_folders: list[str]
    folder: Path
    fingerprint: str
    in_sweep: bool
    resume_command: str
    choices: dict[str, str]
    launcher: dict[str, Any] | None = None

    @property
    def config_text(self) -> str:
        """The config as YAML."""
        return OmegaConf.to_yaml(OmegaConf.create(self.config))


def request_of(
    kind: str,
    module: Sequence[str],
    settings: S,
    config: DictConfig,
    of_hydra: DictConfig | HydraConf,
    folder: Path,
    resume_command: str,
) -> Request[S]:
    """The request for a job.

    Args:
        kind, module, settings, folder, resume_command: see :class:`Request`.
        config: what the settings were read from.
        of_hydra: Hydra's own part of the composed config.
    """
    return Request(
        kind=kind,
        module=module,
        settings=settings,
        config=OmegaConf.to_container(config, resolve=True),  # type: ignore[arg-type]
        overrides=as_typed(of_hydra.overrides.task),
        config_folders=[override for override in of_hydra.overrides.hydra if is_searchpath(override)],
        folder=folder,
        fingerprint=fingerprint_of(settings),
        in_sweep=of_hydra.mode == RunMode.MULTIRUN,
        resume_command=resume_command,
        choices=choices_of(of_hydra),
        launcher=_launcher_of(of_hydra),
    )


def choices_of(of_hydra: DictConfig | HydraConf) -> dict[str, str]:
    """Config group -> what was chosen; a ``_target_`` that was typed takes the place of a choice."""
    chosen = {group: str(name) for group, name in of_hydra.runtime.choices.items() if group.split("/")[0] != "hydra"}
    for override in of_hydra.overrides.task:
        group, _, last = key_of(override).rpartition(".")
        if last == "_target_" and group in chosen:
            chosen[group] = override.partition("=")[2]
    return chosen


def _launcher_of(of_hydra: DictConfig | HydraConf) -> dict[str, Any] | None:
    """The launcher that was chosen; one that runs the jobs of a multirun has done its part."""
    if of_hydra.mode == RunMode.MULTIRUN or of_hydra.runtime.choices.get("hydra/launcher") == "basic":
        return None
    return OmegaConf.to_container(of_hydra.launcher)  # type: ignore[return-value]


def resume_command(module: Sequence[str], typed: Sequence[str], multirun: bool) -> str:
    """The command line that goes on with a run, or with a multirun.

    >>> resume_command(["dsrna.benchmark", "train"], ["n=3", "resume=never", "name=b"], multirun=False)
    'python -m dsrna.benchmark train n=3 name=b resume=auto'
    """
    kept = [override for override in typed if key_of(override) != "resume"]
    return shlex.join(["python", "-m", *module, *(["-m"] if multirun else []), *kept, "resume=auto"])


def given_folder(key: str, overrides: list[str]) -> Path | None:
    """The folder that the user chose by Hydra's own key."""
    given = [override for override in overrides if key_of(override) == key]
    if not given:
        return None
    folder = OverridesParser.create().parse_override(given[0]).value()
    if not isinstance(folder, str) or "${" in folder:
        raise ConfigError(f"Expected the name of a folder, got {folder!r}. (conf: {key})")
    return Path(folder)
