"""What a config may name, and what of a run folder is replayed: somebody else may have made the folder.

A `_target_` is imported and called. Those that the files of the config folders name may be, and torch.optim's
optimisers and schedules; any other one only if it stands in an override. No override with such a one is taken from a
run folder, so that it is the user's own, on this command line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from dsrna.config.catalog import choices, groups, named_targets
from dsrna.errors import ConfigError

_TORCH = re.compile(r"torch\.optim\.(lr_scheduler\.)?[A-Za-z]\w*")
_KEY = re.compile(r"[A-Za-z]\w*([./]\w+)*")
_PACKAGE = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*")


def refuse_foreign_targets(config: DictConfig, overrides: Sequence[str]) -> None:
    """Looks at every `_target_` of a composed config, at any depth.

    Args:
        config: the composed config.
        overrides: what it was composed with; those of a run folder have passed :func:`check_replayed`.

    Raises:
        ConfigError: a target is named neither by the config folders nor by an override.
    """
    found = dict(_targets(OmegaConf.to_container(config, resolve=False)))
    foreign = {where: target for where, target in found.items() if not is_known(target, overrides)}
    if not foreign:
        return
    typed = {target for override in overrides for _, target in _targets_of(_parsed(override))}
    for where, target in foreign.items():
        if target not in typed:
            raise ConfigError(
                f"`{target}` would be imported and called, and is neither named in a config folder nor "
                f"an optimiser or schedule of torch.optim. If you trust it, name it on the command line: "
                f"{where}={target}. (conf: {where})"
            )


def check_replayed(override: str, typed: Sequence[str]) -> None:
    """Checks an override that stands in a run folder.

    Args:
        override: the override.
        typed: the user's own on this command line, which may name config folders.

    Raises:
        ConfigError: it names code, a config outside the config folders, or what lies outside the config.
    """
    try:
        parsed = _parsed(override)
    except HydraException as error:
        raise ConfigError("can't be read") from error
    value = "" if parsed.is_sweep_override() else parsed.value()
    if "${" in override or any("${" in text for text in _texts(value)):
        raise ConfigError("reads something else by ${…}")
    if parsed.is_sweep_override() or not _KEY.fullmatch(parsed.key_or_group):
        raise ConfigError("is no override of one setting")
    if parsed.package is not None and not _PACKAGE.fullmatch(parsed.package):
        raise ConfigError("puts a config where none belongs")
    group = parsed.key_or_group
    if group in groups(typed) or parsed.package is not None or "/" in group:
        for choice in value if isinstance(value, list) else [value]:
            if choice is not None and choice not in choices(group, typed):
                raise ConfigError("chooses a config that is in no config folder (--config-dir FOLDER adds one)")
    for _, target in _targets_of(parsed):
        if not is_known(target, typed):
            raise ConfigError("names code")


def is_known(target: Any, overrides: Sequence[str] = ()) -> bool:
    """Whether a config may name ``target`` without the user's word; his overrides may name config folders."""
    if not isinstance(target, str):
        return True  # it can't be imported; who reads the node says so
    return target in named_targets(overrides) or (_TORCH.fullmatch(target) is not None and _is_torchs(target))


def _is_torchs(target: str) -> bool:
    import torch

    module, _, name = target.rpartition(".")
    found = getattr(torch.optim if module == "torch.optim" else torch.optim.lr_scheduler, name, None)
    bases = (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)
    return isinstance(found, type) and issubclass(found, bases)


def _parsed(override: str) -> Override:
    return OverridesParser.create().parse_override(override)


def _targets_of(override: Override) -> Iterator[tuple[str, Any]]:
    if override.is_sweep_override() or override.is_delete():
        return
    value = override.value()
    yield from _targets({override.key_or_group.rpartition(".")[2]: value}, override.key_or_group.rpartition(".")[0])


def _targets(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Key and value of every `_target_` in a node."""
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in entries:
        where = f"{prefix}.{key}" if prefix else str(key)
        if key == "_target_":
            yield where, value
        yield from _targets(value, where)


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, keys too."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value
