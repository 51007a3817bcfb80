"""What tests of several rooms share."""

import contextlib
import io
import sys
from typing import NamedTuple

import pytest


class Outcome(NamedTuple):
    """What a user sees: the exit status, and everything that was printed."""

    status: int
    text: str


@pytest.fixture(scope="session")
def command_line():
    """(kind, *arguments) -> Outcome of ``python -m dsrna.KIND ARGUMENTS``, in this process.

    ``"benchmark train"`` is a kind, too.
    """
    from dsrna.benchmark import main as benchmark_main
    from dsrna.commands import main_of

    def run(kind, *arguments):
        printed, status = io.StringIO(), 0
        module, *words = kind.split()
        before, sys.argv = sys.argv, [kind, *arguments]
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                if module == "benchmark":
                    benchmark_main([*words, *arguments])
                else:
                    main_of(module)
        except SystemExit as end:
            status = end.code
        finally:
            sys.argv = before
        return Outcome(status, printed.getvalue())

    return run
