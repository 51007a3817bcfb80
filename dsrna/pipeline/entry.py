"""What the entry points share."""

from __future__ import annotations

from pathlib import Path

from dsrna.config.in_process import run_in_process
from dsrna.config.launch import launch
from dsrna.config.query import query_settings
from dsrna.config.rank import rank_settings
from dsrna.config.request import Request
from dsrna.config.settings import QuerySettings, RankSettings, Settings
from dsrna.config.validate import validated
from dsrna.console import say
from dsrna.pipeline.command import run_command

READERS = {
    "search": validated,
    "retrain": validated,
    "evaluate": validated,
    "rank": rank_settings,
    "query": query_settings,
}
"""Entry point -> what reads and validates its composed config."""


def main_of(kind: str) -> None:
    """Runs ``python -m dsrna.KIND`` with this process's command line.

    Exit status: as of :func:`dsrna.pipeline.command.run_command`.
    """

    def start() -> None:
        if kind == "rank":
            launch(kind, rank_settings, rank, lambda folder: say(f"rankings: {folder}"), say)
        elif kind == "query":
            launch(kind, query_settings, query, lambda folder: say(f"searches: {folder}"), say)
        else:
            launch(kind, validated, run, finish_sweep, say)

    run_command(start)


def run_here(kind: str, overrides: list[str]) -> Path:
    """Runs what ``python -m dsrna.KIND OVERRIDES`` does in this process; see :func:`run_in_process`."""
    if kind == "rank":
        return run_in_process(kind, rank_settings, rank, overrides)
    if kind == "query":
        return run_in_process(kind, query_settings, query, overrides)
    return run_in_process(kind, validated, run, overrides)


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
    """Draws the table over the jobs of a multirun."""
    from dsrna.report import write_sweep_report

    say(f"table over the jobs: {write_sweep_report(folder)}")
