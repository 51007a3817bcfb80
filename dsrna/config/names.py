"""The name of a run, from what it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from omegaconf import DictConfig

AUTO = "auto"
_TELLING = ("data", "space", "strategy", "metric")


def fill_in_name(config: DictConfig, entry: str, choices: Mapping[str, str], typed: Iterable[str]) -> None:
    """Replaces ``name: auto``.

    By the experiment's name; where another part was chosen it is no longer that experiment, and the name of a search is
    that of its parts, that of what starts later the entry's.

    Args:
        config: a composed config.
        entry: name of the primary config.
        choices: group -> choice.
        typed: keys of the overrides.

    >>> config = DictConfig({"name": "auto"})
    >>> parts = {"data": "digits", "space": "darts", "strategy": "pcdarts", "metric": "none"}
    >>> fill_in_name(config, "search", parts | {"experiment": "digits_jacobian"}, ["metric"])
    >>> config.name
    'digits_pcdarts'
    """
    if config.get("name") != AUTO:
        return
    if "experiment" in choices and not set(typed) & set(_TELLING):
        config.name = choices["experiment"]
    elif entry != "search":
        config.name = entry
    else:
        space = [] if choices["space"] == "darts" else [choices["space"]]
        decisive = choices["strategy"] if choices["metric"] == "none" else choices["metric"]
        config.name = "_".join([choices["data"], *space, decisive])
