"""`from=RUN_FOLDER`: a later stage starts from the settings that the run was started with."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig

from dsrna.config.compose import compose, key_of
from dsrna.config.parts import located
from dsrna.config.trust import check_replayed
from dsrna.errors import ConfigError
from dsrna.run_folder import RunFolder

# Of the earlier run, not of the new one.
NOT_REPLAYED = (
    "stages", "resume", "out", "from", "name", "trainer", "logger", "hydra",
    "model", "model_arguments", "checkpoint", "normalization",
)  # fmt: skip

# All that a search by queries shares with the stages that start from what it found, as conf/query.yaml has it.
OF_A_QUERY = {"data": "cifar10", "space": "nasbench201", "seed": "0"}


def replay(kind: str, overrides: list[str]) -> list[str]:
    """The overrides of the run folder that ``from`` names, followed by the user's own.

    Args:
        kind: the entry point; ``search`` starts from nothing and is left alone.
        overrides: what the user typed.

    Returns:
        The overrides to compose with. An override that the user gives again is not replayed, nor one that switches off
        what the user sets something of, nor a setting that what the user chose instead doesn't have. The stages are
        the entry point's, also where an experiment names others.

    Raises:
        ConfigError: a replayed override chooses more than a run folder is trusted with, see :mod:`dsrna.config.trust`.
        CheckpointError: the folder is no run folder.
    """
    if kind == "search":
        return overrides
    return _with_own_stages(kind, _with_earlier(kind, overrides))


def _with_own_stages(kind: str, overrides: list[str]) -> list[str]:
    keys = {key_of(override) for override in overrides}
    if "experiment" not in keys or "stages" in keys:
        return overrides
    return [*overrides, f"stages=[{','.join(compose(kind, []).stages)}]"]


def _with_earlier(kind: str, overrides: list[str]) -> list[str]:
    sources = _sources(overrides)
    if not any(Path(source).is_dir() for source in sources):
        return overrides
    if len(sources) > 1:
        raise ConfigError("Every run folder has settings of its own: give one at a time, no sweep. (conf: from)")
    (source,) = sources
    given = {key_of(override) for override in overrides}
    earlier = []
    with located("from"):
        folder = RunFolder.open(Path(source))
        by_queries = folder.read_run()["kind"] == "query"
        replayed = folder.read_overrides()
        if by_queries:
            said = {key_of(override) for override in replayed}
            replayed = [f"{key}={value}" for key, value in OF_A_QUERY.items() if key not in said] + replayed
    for override in replayed:
        key = key_of(override)
        group = key.split(".")[0].split("/")[0]
        if key in given or group in NOT_REPLAYED or (by_queries and group not in OF_A_QUERY):
            continue
        if override.endswith("=null") and any(each.startswith(f"{key}.") for each in given):
            continue
        try:
            check_replayed(override, overrides)
        except ConfigError as error:
            raise ConfigError(
                f"{source} was run with {override!r}, which {error}. "
                "If you trust it, give that override on this command line too. (conf: from)"
            ) from error
        earlier.append(override)
    return [*_fitting(kind, earlier, overrides), *overrides]


def _fitting(kind: str, earlier: list[str], overrides: list[str]) -> list[str]:
    """Without settings of parts that the user replaced by others, which don't have them."""
    given = {key_of(override) for override in overrides}

    def is_of_what_was_replaced(override: str) -> bool:
        return any(key_of(override).startswith(f"{key}.") for key in given)

    doubtful = [override for override in earlier if is_of_what_was_replaced(override)]
    if not doubtful:
        return earlier
    with suppress(ConfigError):  # which whoever composes all of them tells
        config = compose(kind, [*(override for override in earlier if override not in doubtful), *overrides])
        return [override for override in earlier if override not in doubtful or _has(config, key_of(override))]
    return earlier


def _has(config: Any, key: str) -> bool:
    for name in key.split("."):
        if not isinstance(config, DictConfig) or name not in config:
            return False
        config = config[name]
    return True


def _sources(overrides: list[str]) -> list[str]:
    """What ``from`` names, several where it is swept; whoever composes refuses what can't be read."""
    given = [override for override in overrides if key_of(override) == "from"]
    try:
        parsed = OverridesParser.create().parse_overrides(given)
        values = [
            value
            for each in parsed
            for value in (each.sweep_string_iterator() if each.is_sweep_override() else [each.value()])
        ]
    except HydraException:
        return []
    return [value.strip("'\"") for value in values if isinstance(value, str)]
