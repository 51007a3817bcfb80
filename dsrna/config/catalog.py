"""The config groups and their choices, as they lie in ``conf/`` and in folders of the user's own.

A folder of the user's is one of a command line's overrides, ``hydra.searchpath=[file://FOLDER,pkg://PACKAGE]``, which
``--config-dir FOLDER`` becomes (:mod:`dsrna.config.command_line`). Nothing remembers it: whoever asks for choices gives
the overrides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

import dsrna
from dsrna.errors import ConfigError

SEARCHPATH = "hydra.searchpath"
_TARGET = re.compile(r"_target_['\"]?: *['\"]?([\w.]+)")


@cache
def conf_folder() -> Path:
    """The folder of YAML files: ``dsrna/conf`` in an installed wheel, ``conf`` beside the package in a checkout."""
    package = Path(dsrna.__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def own_folders(overrides: Sequence[str]) -> list[Traversable]:
    """The user's config folders, in their order.

    Raises:
        ConfigError: one is not there, or a file in it has the name of a config that is taken instead.
    """
    folders = [_folder(place) for override in overrides if is_searchpath(override) for place in places(override)]
    taken: dict[str, Traversable] = dict.fromkeys(_shipped_names(conf_folder()), conf_folder())
    for folder in folders:
        for name in _names(folder):
            other = taken.setdefault(name, folder)
            if other is not folder:
                raise ConfigError(f"{folder}/{name}.yaml has the name of a config in {other}: rename it. ({_CONF})")
    return folders


def choices(group: str, overrides: Sequence[str] = ()) -> list[str]:
    """The names that ``group=NAME`` takes; with the overrides of a command line, those of the user's folders too."""
    return sorted(name.removeprefix(f"{group}/") for name in _every(overrides) if name.startswith(f"{group}/"))


def groups(overrides: Sequence[str] = ()) -> list[str]:
    """The config groups."""
    return sorted({name.partition("/")[0] for name in _every(overrides) if "/" in name})


def entries() -> list[str]:
    """The primary configs, one for each command with settings."""
    return sorted(name for name in _shipped_names(conf_folder()) if "/" not in name)


def is_global(group: str, choice: str, overrides: Sequence[str] = ()) -> bool:
    """Whether a choice sets keys anywhere in the config, by Hydra's package header, instead of a node of its own."""
    return "# @package _global_\n" in _every(overrides)[f"{group}/{choice}"].read_text(encoding="utf-8")


def description(group: str, choice: str, overrides: Sequence[str] = ()) -> str:
    """What a choice is: the first comment line of its file that is not Hydra's package header."""
    lines = (_every(overrides)[f"{group}/{choice}"]).read_text(encoding="utf-8").splitlines()
    comments = [line.lstrip("# ") for line in lines if line.startswith("#") and "@package" not in line]
    return comments[0] if comments else ""


def named_targets(overrides: Sequence[str] = ()) -> frozenset[str]:
    """Every ``_target_`` that a file of the config folders names."""
    own = (_targets_below(folder) for folder in own_folders(overrides))
    return _shipped_targets(conf_folder()).union(*own)


def is_searchpath(override: str) -> bool:
    """Whether an override names config folders."""
    return override.partition("=")[0].lstrip("+") == SEARCHPATH


_CONF = f"conf: {SEARCHPATH}"


def _every(overrides: Sequence[str]) -> dict[str, Traversable]:
    """``GROUP/CHOICE`` (or the name of an entry) -> its file. Hydra's own groups are left out."""
    found = dict(_shipped_names(conf_folder()))
    for folder in own_folders(overrides):
        found |= _names(folder)
    return {name: file for name, file in found.items() if not name.startswith("hydra/")}


def _names(folder: Traversable, prefix: str = "") -> dict[str, Traversable]:
    found: dict[str, Traversable] = {}
    for entry in folder.iterdir():
        if entry.is_dir():
            found |= _names(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".yaml"):
            found[f"{prefix}{entry.name.removesuffix('.yaml')}"] = entry
    return found


@cache
def _shipped_names(folder: Path) -> Mapping[str, Traversable]:
    """Read once: what is shipped stays, whereas a user may add to a folder between two calls from a notebook."""
    return _names(folder)


@cache
def _shipped_targets(folder: Path) -> frozenset[str]:
    return _targets_below(folder)


def _targets_below(folder: Traversable) -> frozenset[str]:
    texts = (file.read_text(encoding="utf-8") for file in _names(folder).values())
    return frozenset(target for text in texts for target in _TARGET.findall(text))


def places(override: str) -> Iterator[str]:
    """What an override of the search path names, ``file://FOLDER`` and ``pkg://PACKAGE``.

    Raises:
        ConfigError: it names something else.
    """
    try:
        value = OverridesParser.create().parse_override(override).value()
    except HydraException:
        value = None
    if not isinstance(value, list) or not all(isinstance(place, str) for place in value):
        raise ConfigError(f"Expected {SEARCHPATH}=[file://FOLDER] or --config-dir FOLDER, got {override}. ({_CONF})")
    yield from value


def _folder(place: str) -> Traversable:
    scheme, _, name = place.rpartition("://")
    if scheme == "pkg":
        try:
            folder: Traversable = resources.files(name)
        except (ImportError, TypeError) as error:
            raise ConfigError(f"Expected a package with configs, got {place}: {error}. ({_CONF})") from error
    elif scheme in ("file", ""):
        folder = Path(name)
    else:
        raise ConfigError(f"Expected file://FOLDER or pkg://PACKAGE, got {place}. ({_CONF})")
    if not folder.is_dir():
        raise ConfigError(f"Expected a folder with configs, found none at {place}. ({_CONF})")
    return folder
