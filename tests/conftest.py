"""What tests of several rooms share."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: threads that wait for small tensors only spin

import atexit
import base64
import contextlib
import functools
import gc
import io
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.thorough import THOROUGH

for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:  # as in a shell's background, where tests of signals would fail
        signal.signal(number, usual)


gc.set_threshold(50_000, 20, 20)
atexit.register(gc.unfreeze)  # see dsrna/importing.py

WHITE = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg==")
"""A PNG of one white pixel."""


class Outcome(NamedTuple):
    """What a user sees: the exit status, and everything that was printed."""

    status: int
    text: str


@pytest.fixture(scope="module", autouse=True)
def _kept():
    """What is imported stays, as the collector is told: looking through it again and again is a quarter of all time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def command_line():
    """(kind, *arguments) -> Outcome of ``python -m dsrna.KIND ARGUMENTS``, in this process.

    ``"benchmark train"`` is a kind, too.
    """
    from dsrna.benchmark import main as benchmark_main
    from dsrna.commands import main_of
    from dsrna.runs import launch

    def run(kind, *arguments):
        printed, status = io.StringIO(), 0
        module, *words = kind.split()
        before, sys.argv = sys.argv, [kind, *arguments]
        try:
            with (
                pytest.MonkeyPatch.context() as patch,
                contextlib.redirect_stdout(printed),
                contextlib.redirect_stderr(printed),
            ):
                patch.setattr(launch, "importing", contextlib.nullcontext)  # which is for processes of one command
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


@pytest.fixture(scope="session", autouse=True)
def drawn():
    """Figures are made, but painted only ``with drawn():``; else files are white, as painting a page takes seconds."""
    from matplotlib.figure import Figure

    @contextlib.contextmanager
    def painted():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Figure, "savefig", savefig)
            yield

    def blank(figure, file, *args, **kwargs):
        file.write(WHITE) if hasattr(file, "write") else Path(file).write_bytes(WHITE)

    savefig = Figure.savefig
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", blank)
        yield painted


@pytest.fixture(scope="session", autouse=True)
def _one_revision():
    """Git is asked once for the revision that hundreds of run folders note; tests/unit/test_provenance.py asks it."""
    from dsrna import run_folder

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "git_state", functools.cache(run_folder.git_state))
        yield


@pytest.fixture(scope="session", autouse=True)
def _unsynced():
    """Nobody waits for the disk: what tests write needn't outlive a power cut. Those of the order of writing watch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def pytest_collection_modifyitems(config, items):
    """Rows that the quick ones repeat are left out without DSRNA_THOROUGH=1; files of many slow tests come first."""
    left_out = [item for item in items if not THOROUGH and item.get_closest_marker("thorough")]
    if left_out:
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=left_out)
    if hasattr(config, "workerinput"):  # side by side, file by file: none ends with a long one when the rest is done
        slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
        items.sort(key=lambda item: -slow[item.path])
