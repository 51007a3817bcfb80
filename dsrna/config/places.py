"""Where a config group is chosen, for messages about one that is named without its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import hydra
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from dsrna.config.catalog import choices, conf_folder, entries, groups, is_global, is_searchpath
from dsrna.config.composing import hydra_composed
from dsrna.errors import ConfigError


def refuse_unread(entry: str, config: DictConfig, overrides: Sequence[str]) -> None:
    """Refuses a group that was added by ``+GROUP=NAME`` and stands at a place of its name that nothing reads.

    Args:
        entry: name of the primary config.
        config: as it was composed.
        overrides: what it was composed with.

    Raises:
        ConfigError: names the places where the group is read.
    """
    known = groups(overrides)
    for override in OverridesParser.create().parse_overrides([each for each in overrides if each.startswith("+")]):
        group = override.key_or_group
        added = override.is_add() and override.package is None and group in known and group in config
        if added and group not in own_groups(entry) and group not in plain(entry, overrides)[0]:
            raise ConfigError(unread(entry, group, overrides, override.value()))


def unread(entry: str, group: str, overrides: Sequence[str], choice: Any = None) -> str:
    """One sentence for a group that an entry doesn't read at its own place: what to write instead."""
    name = choice if isinstance(choice, str) else "NAME"
    config, chosen = plain(entry, overrides)
    places = sorted(key.partition("@")[2] for key in chosen if key.startswith(f"{group}@"))
    if places:
        return (
            f"`{group}` is chosen for each of its places: write {group}@PLACE={name}, where PLACE is one of "
            f"{', '.join(places)}{_further(config, group, places, name)}. (conf: {group})"
        )
    owners = [each for each in entries() if group in own_groups(each)]
    if owners:
        return f"Unknown key `{group}`: that config group is of {', '.join(owners)}, not of {entry}. (conf: {group})"
    if all(is_global(group, each, overrides) for each in choices(group, overrides)):
        return f"`{group}` is added to the defaults: write +{group}={name}. (conf: {group})"
    return (
        f"Unknown key `{group}`: {entry} has no setting of that name, so that nothing would read the config group. "
        f"Write +{group}@PLACE={name} with the setting's key as PLACE (`python -m dsrna show` prints all keys). "
        f"(conf: {group})"
    )


def own_groups(entry: str) -> set[str]:
    """The groups that a primary config and those below it choose from at their own place, also by an empty list."""
    found: set[str] = set()
    for default in yaml.safe_load((conf_folder() / f"{entry}.yaml").read_text(encoding="utf-8"))["defaults"]:
        if isinstance(default, dict):
            found |= {key.split()[-1] for key in default if "@" not in key}
        elif default != "_self_":
            found |= own_groups(default)
    return found


def plain(entry: str, overrides: Sequence[str]) -> tuple[dict[str, Any], Mapping[str, str]]:
    """An entry's config without overrides but those that name config folders, and what is chosen in each group."""
    folders = [override for override in overrides if is_searchpath(override)]
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
        composed = hydra_composed(entry, folders)
    config = {str(key): value for key, value in OmegaConf.to_container(composed, resolve=False).items()}  # type: ignore[union-attr]
    return config, composed.hydra.runtime.choices


def _further(config: Mapping[str, Any], group: str, places: Sequence[str], name: str) -> str:
    """What adds one more, where a node holds nothing but choices of this group."""
    for node in dict.fromkeys(place.rpartition(".")[0] for place in places):
        found: Any = config
        for key in filter(None, node.split(".")):
            found = found[key]
        if all(f"{node}.{key}" in places for key in found):
            return f"; or +{group}@{node}.NAME={name} for one more"
    return ""
