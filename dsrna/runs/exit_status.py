"""How every command ends: its exit status, and one line about what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout

from dsrna.console import echo
from dsrna.errors import DsrnaError
from dsrna.interruption import Interrupted, StopSignals
from dsrna.streams import StandardStream


def run_command(command: Callable[[], int | None]) -> None:
    """Runs a command and leaves Python with its exit status.

    That is 0, or what the command returns; 2 after an error that is the user's to mend, one of standard output too;
    130, 143 or 129 after Ctrl-C, SIGTERM or SIGHUP.

    Raises:
        SystemExit: with any status but 0.
    """
    status: int | None = 0
    try:
        with StopSignals(at_once=True), _watched_output() as output:
            try:
                status = command()
            finally:
                output.flush()
    except Interrupted as stopped:
        status = stopped.exit_status
    except DsrnaError as error:
        echo(f"[error] {error}")
        status = 2
    if status:
        raise SystemExit(status)


@contextmanager
def _watched_output() -> Iterator[StandardStream]:
    """Also what Hydra and argparse print raises OutputError where it can't be written; argparse would ignore that."""
    output = StandardStream("stdout", sys.stdout)
    with redirect_stdout(output):
        yield output
