"""What the entry points share."""

from __future__ import annotations

from pathlib import Path

from dsrna.config.launch import Request, launch
from dsrna.progress import terminal


def main_of(kind: str) -> None:
    """Runs ``python -m dsrna.KIND`` with this process's command line.

    Exit status: 0, 2 after an error that is the settings' or the data's, 130 after Ctrl-C.
    """
    try:
        launch(kind, run, finish_sweep, say)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def run(request: Request) -> float | None:
    """See :func:`dsrna.pipeline.run.run`."""
    from dsrna.pipeline.run import run as run_job  # slow to import: wrong settings are told before

    return run_job(request)


def finish_sweep(folder: Path) -> None:
    """Draws the table over the jobs of a multirun."""
    from dsrna.report import write_sweep_report

    say(f"table over the jobs: {write_sweep_report(folder)}")


def say(text: str) -> None:
    """A message to the user, as it is: no markup, no wrapping."""
    terminal().print(text, markup=False, highlight=False, soft_wrap=True)
