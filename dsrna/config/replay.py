"""`from=RUN_FOLDER`: a later stage starts from the settings that the run was started with."""

from __future__ import annotations

from pathlib import Path

from dsrna.config.compose import key_of
from dsrna.config.parts import located
from dsrna.errors import ConfigError
from dsrna.run_folder import RunFolder

# Of the earlier run, not of the new one.
NOT_REPLAYED = ("stages", "resume", "out", "from", "name", "trainer", "logger", "hydra")


def replay(kind: str, overrides: list[str]) -> list[str]:
    """The overrides of the run folder that ``from`` names, followed by the user's own.

    Args:
        kind: the entry point; ``search`` starts from nothing and is left alone.
        overrides: what the user typed.

    Returns:
        The overrides to compose with. An override that the user gives again is not replayed.

    Raises:
        ConfigError: a replayed override names a class (``_target_``): a run folder is not trusted to choose code.
        CheckpointError: the folder is no run folder.
    """
    source = next((value.partition("=")[2].strip("'\"") for value in overrides if value.startswith("from=")), None)
    if kind == "search" or source is None:
        return overrides
    if not Path(source).is_dir():
        if any(Path(part.strip()).is_dir() for part in source.split(",")):
            raise ConfigError("Every run folder has settings of its own: give one at a time, no sweep. (conf: from)")
        return overrides
    given = {key_of(override) for override in overrides}
    earlier = []
    with located("from"):
        replayed = RunFolder.open(Path(source)).read_overrides()
    for override in replayed:
        key = key_of(override)
        if key in given or key.split(".")[0].split("/")[0] in NOT_REPLAYED:
            continue
        if "_target_" in override:
            raise ConfigError(
                f"{source} was run with `{override}`, which names code. "
                "If you trust it, give that override on this command line too. (conf: from)"
            )
        earlier.append(override)
    return [*earlier, *overrides]
