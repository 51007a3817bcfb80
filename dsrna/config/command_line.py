"""What was typed becomes overrides, with a config folder of the user's among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import OverrideParseException

from dsrna.config.catalog import SEARCHPATH, choices, is_searchpath, places
from dsrna.config.explain import unreadable
from dsrna.errors import ConfigError

_OF_HYDRA = ("help", "hydra_help", "cfg", "info", "shell_completion")
_ELSEWHERE = {  # these would run another config than the one that was checked
    "config_path": "--config-dir FOLDER adds a config folder",
    "config_name": "put your settings into experiment/NAME.yaml of a folder, and add --config-dir FOLDER "
    "+experiment=NAME",
    "experimental_rerun": "`resume=auto` goes on with a run",
}


@dataclass(frozen=True)
class CommandLine:
    """A command line of one of the entry points.

    Attributes:
        overrides: ``key=value`` each; a config folder is one of them, as ``hydra.searchpath``.
        multirun: whether the overrides may stand for several jobs.
        asks_hydra: whether it asks for Hydra's own help or listings, and runs nothing.
    """

    overrides: list[str]
    multirun: bool
    asks_hydra: bool


def read_command_line(words: Sequence[str]) -> CommandLine:
    """Reads the words after the program's name.

    Raises:
        ConfigError: a flag that would run something else than what is checked.
    """
    given = get_args_parser().parse_intermixed_args(list(words))
    for flag, instead in _ELSEWHERE.items():
        if getattr(given, flag) is not None:
            raise ConfigError(f"--{flag.replace('_', '-')} is not supported: {instead}.")
    return CommandLine(
        overrides=with_config_folder(list(given.overrides), given.config_dir),
        multirun=bool(given.multirun),
        asks_hydra=any(getattr(given, flag) for flag in _OF_HYDRA),
    )


def with_config_folder(overrides: list[str], folder: str | None) -> list[str]:
    """The overrides, with ``--config-dir FOLDER`` as the first of the folders in ``hydra.searchpath``."""
    if folder is None:
        return overrides
    typed = [override for override in overrides if is_searchpath(override)]
    every = [f"file://{Path(folder).absolute()}", *(place for override in typed[:1] for place in places(override))]
    kept = [override for override in overrides if override not in typed]
    return [f"{SEARCHPATH}=[{','.join(map(quoted, every))}]", *typed[1:], *kept]


def quoted(text: str) -> str:
    """The text as a value that Hydra's grammar reads whole."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def without_globs(overrides: Sequence[str]) -> list[str]:
    """The overrides, with the names that stand behind every ``glob(…)``, those of the user's folders too.

    >>> without_globs(["objective=glob(pgd_*)", "seed=range(0,3)"])
    ['objective=pgd_cifar,pgd_mnist', 'seed=range(0,3)']

    Raises:
        ConfigError: nothing is matched, or an override can't be read.
    """
    return [
        _without_glob(override, read, overrides) for override, read in zip(overrides, parsed(overrides), strict=True)
    ]


def parsed(overrides: Sequence[str]) -> list[Override]:
    """The overrides, read. Raises ConfigError where one can't be."""
    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except OverrideParseException as error:
        raise ConfigError(unreadable(error)) from error


def _without_glob(override: str, read: Override, overrides: Sequence[str]) -> str:
    pattern = read.value() if not read.is_delete() else None
    if not isinstance(pattern, Glob):
        return override
    known = choices(read.key_or_group, overrides)
    names = pattern.filter(known)
    if not names:
        there = f"there are: {', '.join(known)}" if known else "`python -m dsrna list` shows the groups"
        raise ConfigError(f"{override} matches nothing; {there}. (conf: {read.key_or_group})")
    return f"{read.get_key_element()}={','.join(names)}"
