"""The commands. A new one is one entry here, which names its settings, its program and its page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dsrna.comparing.settings import comparison_settings
from dsrna.config.validate import validated
from dsrna.console import echo
from dsrna.errors import CheckpointError
from dsrna.querying.settings import query_settings
from dsrna.ranking.settings import rank_settings
from dsrna.run_folder import RunFolder
from dsrna.runs.command import Command
from dsrna.runs.exit_status import run_command
from dsrna.runs.launch import launch
from dsrna.tables.settings import benchmark_training_settings
from dsrna.tuning.settings import tune_settings


def main_of(name: str) -> None:
    """Runs a command with this process's command line.

    Exit status: as of :func:`dsrna.runs.exit_status.run_command`.
    """
    run_command(lambda: launch(COMMANDS[name], echo))


def named(words: Sequence[str]) -> tuple[Command[Any], list[str]]:
    """The command that words begin with, ``search`` where they begin with none; and the words that are left.

    >>> command, left = named(["benchmark", "train", "n=3"])
    >>> command.name, left
    ('benchmark_train', ['n=3'])
    """
    for command in COMMANDS.values():
        length = len(command.words)
        if tuple(words[:length]) == command.words:
            return command, list(words[length:])
    return COMMANDS["search"], list(words)


def redraw(folder: Path) -> Path:
    """Draws pictures and page again from what a run folder holds.

    Returns:
        The page.

    Raises:
        CheckpointError: ``folder`` is no run folder, what its page needs isn't there yet, or a file in it is damaged.
        ConfigError: ``folder`` can't be written to.
    """
    kind = RunFolder.open(Path(folder)).read_run()["kind"]
    try:
        return COMMANDS.get(kind, COMMANDS["search"]).draw(Path(folder))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, StopIteration) as error:
        # Each file is of its shape, but they may be of different runs, or lists in them of different lengths.
        raise CheckpointError(
            f"The files in {folder} don't fit together ({type(error).__name__}: {error}). Restore them from a copy."
        ) from error


_STAGES = "dsrna.stages.run:STAGES"
COMMANDS: dict[str, Command[Any]] = {
    command.name: command
    for command in (
        Command("search", ("search",), validated, _STAGES),
        Command("retrain", ("retrain",), validated, _STAGES),
        Command("evaluate", ("evaluate",), validated, _STAGES),
        Command("rank", ("rank",), rank_settings, "dsrna.ranking.run:RANK", "dsrna.ranking.report:write_ranking"),
        Command("query", ("query",), query_settings, "dsrna.querying.run:QUERY", "dsrna.querying.report:write_query"),
        Command(
            "compare",
            ("compare",),
            comparison_settings,
            "dsrna.comparing.run:COMPARE",
            "dsrna.comparing.pages:redraw",
            shared=True,
        ),
        Command(
            "tune", ("tune",), tune_settings, "dsrna.tuning.run:TUNE", "dsrna.tuning.report:write_study", shared=True
        ),
        Command("benchmark_train", ("benchmark", "train"), benchmark_training_settings, "dsrna.tables.run:TRAINING"),
    )
}
"""By name, which is that of the primary config ``conf/NAME.yaml``."""
