"""What the entry points share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsrna.config.in_process import run_in_process
from dsrna.config.launch import launch
from dsrna.config.query import query_settings
from dsrna.config.rank import rank_settings
from dsrna.config.request import Request
from dsrna.config.settings import QuerySettings, RankSettings, Settings
from dsrna.config.validate import validated
from dsrna.console import say
from dsrna.pipeline.command import run_command


@dataclass(frozen=True)
class Entry:
    """What an entry point is made of.

    Attributes:
        read: its composed config -> validated settings.
        run: does one job.
        finish_sweep: is called with the folder of a multirun when its jobs are done.
    """

    read: Callable[[Any], Any]
    run: Callable[[Request[Any]], float | None]
    finish_sweep: Callable[[Path], None]


def main_of(kind: str) -> None:
    """Runs ``python -m dsrna.KIND`` with this process's command line.

    Exit status: as of :func:`dsrna.pipeline.command.run_command`.
    """
    entry = ENTRIES[kind]
    run_command(lambda: launch(kind, entry.read, entry.run, entry.finish_sweep, say))


def run_here(kind: str, overrides: list[str]) -> Path:
    """Runs what ``python -m dsrna.KIND OVERRIDES`` does in this process; see :func:`run_in_process`."""
    return run_in_process(kind, ENTRIES[kind].read, ENTRIES[kind].run, overrides)


def run(request: Request[Settings]) -> float | None:
    """See :func:`dsrna.pipeline.run.run`."""
    from dsrna.pipeline.run import run as run_job  # slow to import: wrong settings are told before

    return run_job(request)


def rank(request: Request[RankSettings]) -> float | None:
    """See :func:`dsrna.pipeline.ranking.rank`."""
    from dsrna.pipeline.ranking import rank as rank_architectures  # slow to import, as above

    rank_architectures(request)
    return None


def query(request: Request[QuerySettings]) -> float | None:
    """See :func:`dsrna.pipeline.querying.query`."""
    from dsrna.pipeline.querying import query as query_architectures  # slow to import, as above

    query_architectures(request)
    return None


def finish_sweep(folder: Path) -> None:
    """Draws the table over the jobs of a multirun, and writes what its seeds agree on."""
    from dsrna.pipeline.consensus import sweep_consensus
    from dsrna.report import write_sweep_report

    say(f"table over the jobs: {write_sweep_report(folder)}")
    for line in sweep_consensus(folder):
        say(line)


_STAGES = Entry(validated, run, finish_sweep)
ENTRIES = {
    "search": _STAGES,
    "retrain": _STAGES,
    "evaluate": _STAGES,
    "rank": Entry(rank_settings, rank, lambda folder: say(f"rankings: {folder}")),
    "query": Entry(query_settings, query, lambda folder: say(f"searches: {folder}")),
}
"""Name of the module, and of its primary config -> what it is made of."""
