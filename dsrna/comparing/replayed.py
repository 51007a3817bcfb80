"""Overrides that say again what a composed config says of images, space and threat model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dsrna.config.command_line import quoted


def replayed_overrides(config: Mapping[str, Any], choices: Mapping[str, str]) -> list[str]:
    """What ``from=`` is to replay of a run in a comparison: its images, its space and its threat model."""
    found = [f"{group}={choices[group]}" for group in ("data", "space") if group in choices]
    return [*found, *overrides_of("data", config), *overrides_of("threat", config)]


def overrides_of(place: str, config: Mapping[str, Any]) -> list[str]:
    """One for each value of a node, but for what it is built by."""
    return [
        f"{key}={quoted(value) if isinstance(value, str) else json.dumps(value)}"
        for key, value in _leaves(place, config[place])
    ]


def _leaves(place: str, node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(f"{place}.{key}", value)
        elif key not in ("_target_", "download"):
            yield f"{place}.{key}", value
