"""What Hydra and OmegaConf refuse, in one sentence that says what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from dsrna.config.catalog import choices, groups
from dsrna.config.parts import nearest
from dsrna.config.places import plain, unread


def explained(
    entry: str, error: HydraException | OmegaConfBaseException | ValueError, overrides: Sequence[str] = ()
) -> str:
    """One sentence for Hydra's message, with the nearest name."""
    message = str(error)
    if message.startswith("Config group override"):
        return _no_name(overrides)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
        group, _, name = error.missing_cfg_file.rpartition("/")
        if group.startswith("hydra/"):
            return f"Hydra has no {group} `{name}`: is the plugin that brings it installed? (conf: {group})"
        if group and group not in groups(overrides):  # a path, or a group in a group
            return f"Expected the name of a choice of `python -m dsrna list`, got `{error.missing_cfg_file}`."
        names = choices(group, overrides) if group else groups(overrides)
        own = " A folder with choices of your own is named by --config-dir FOLDER." if group else ""
        return f"Unknown {group or 'config'} `{name}`.{nearest(name, names)} Choose from: {', '.join(names)}.{own}"
    if match := re.search(r"An item is already at '([^']+)'", message):
        return f"`{match[1]}` is there already: write {match[1]}=VALUE without the +."
    if match := re.search(r"Multiple values for \S+\. .* 'override (\S+): (.*)'", message):
        return f"`{match[1]}` is chosen already: write {match[1]}={match[2]} without the +. (conf: {match[1]})"
    if match := re.search(r"Could not (?:override|delete from config)[^']*'([^'=]+)", message):
        return _not_there(entry, match[1].lstrip("+~"), overrides)
    return unreadable(error)


def unreadable(error: Exception) -> str:
    """One sentence for what Hydra's parser says about an override."""
    text = " ".join(str(error).split())
    if not isinstance(error, OverrideParseException):
        return text
    typed = error.override.removeprefix("++")  # which `as_composed` put there
    prefix = f"Error parsing override '{' '.join(error.override.split())}' "
    reason = re.sub(r"( expecting \{.*)?( See http.*)?$", "", text).removeprefix(prefix)
    return (
        f"Can't read the override `{typed}` ({reason}): write KEY=VALUE, and quote a value with special "
        "characters, as in 'KEY=\"a=b\"'."
    )


def _no_name(overrides: Sequence[str]) -> str:
    """One sentence for an override that gives a group something else than the name of a choice."""
    known = [*groups(overrides), "hydra", ""]
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        group, value = override.key_or_group, override.value()
        if not isinstance(value, str | list) and group.partition("/")[0] in known:
            there = (
                f"Choose from: {', '.join(choices(group, overrides))}. (conf: {group})" if group in known[:-2] else ""
            )
            return f"Expected GROUP=NAME with the name of a choice, got `{override.input_line}`. {there}".rstrip()
    return "Expected GROUP=NAME with the name of a choice for every group."


def _not_there(entry: str, key: str, overrides: Sequence[str]) -> str:
    """One sentence for a group that the command doesn't have there, or for what can't be removed as it isn't there."""
    group = key.partition("@")[0]
    if group in groups(overrides):
        typed = OverridesParser.create().parse_overrides(list(overrides))
        choice = next((each.value() for each in typed if each.get_key_element() == key and not each.is_delete()), None)
        return unread(entry, group, overrides, choice)
    best = nearest(key, sorted({*_flat(plain(entry, overrides)[0]), *groups(overrides)} - {key}))
    return f"Unknown key `{key}`.{best} `python -m dsrna show` prints all keys."


def _flat(node: Any, prefix: str = "") -> list[str]:
    if not isinstance(node, dict):
        return [prefix]
    below = [name for key, value in node.items() for name in _flat(value, f"{prefix}.{key}" if prefix else str(key))]
    return [prefix, *below] if prefix else below


def unresolved(error: OmegaConfBaseException) -> str:
    """One sentence for a value that OmegaConf can't give."""
    key = getattr(error, "full_key", None)
    if isinstance(error, MissingMandatoryValue):
        return f"`{key}` has no default: give it as {key}=VALUE. (conf: {key})"
    return f"{str(error).splitlines()[0]}. (conf: {key})"
