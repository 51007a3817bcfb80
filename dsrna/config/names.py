"""The name of a run, from what it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from omegaconf import DictConfig

AUTO = "auto"
_TELLING = ("data", "space", "strategy", "metric")


def fill_in_name(config: DictConfig, entry: str, choices: Mapping[str, str], typed: Iterable[str]) -> None:
    """Replaces ``name: auto``.

    By the experiment's name, or the comparison's; where another part was chosen it is no longer that experiment, and
    the name of a search is that of its parts, that of what starts later the entry's or its first stage's.

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
    parts = [choices.get(group) for group in _TELLING]
    if "comparison" in choices:
        config.name = choices["comparison"]
    elif "experiment" in choices and not set(typed) & set(_TELLING):
        config.name = choices["experiment"]
    elif entry != "search" or None in parts:  # a part that was removed is refused by those who need it
        config.name = entry
    elif config.get("stages") and "search" not in config.stages:
        config.name = str(config.stages[0])
    else:
        data, space, strategy, metric = map(str, parts)
        config.name = "_".join(
            [data, *([] if space == "darts" else [space]), strategy, *([] if metric == "none" else [metric])]
        )
