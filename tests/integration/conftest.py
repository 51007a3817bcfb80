"""True processes that run the true command, forked from a server that has imported everything already."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import sys
import time
from itertools import count
from pathlib import Path

import pytest
import torch

from dsrna.benchmarks.classes import representatives
from dsrna.benchmarks.nas_robbench_201 import FILE_NAME
from dsrna.config.command_line import quoted
from dsrna.nn.edges.compiled import cache
from dsrna.nn.edges.compiled import library as kernels
from dsrna.run_folder import RunFolder
from dsrna.testing.made_up_tables import write_adversarial, write_standard
from tests.processes import apart, main_with_errors_in


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_reaches_children():
    """A shell that starts the tests in the background has Ctrl-C ignored, and their children would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


SMALL = [
    "trainer=debug",
    "trainer.limits.epochs=3",
    "trainer.limits.batches=3",
    "trainer.limits.test_images=20",
    "trainer.checkpoint_minutes=1e-9",
    "data.train_limit=160",
    "space.nodes=1",
    "search.batch_size=16",
    "retrain.batch_size=16",
    "retrain.epochs=2",
    "retrain.selection_steps=2",
    "objective.steps=2",
    "retrain.drop_path=0.2",
    "retrain.ema_decay=0.9",
    "retrain.baseline=false",
    "retrain.certified=true",
    "certified.batch_size=16",
    "evaluate.batch_size=10",
    "evaluate.eps_curve=[0.1]",
    "evaluate.attacks.pgd20.steps=4",
    "evaluate=certified",
    "evaluate.verify.engines=[ibp]",
    "evaluate.verify.batch_size=10",
    "evaluate.verify.attack_steps=3",
    "evaluate.verify.attack_restarts=1",
    "evaluate.verify.bisection_steps=4",
    "stages=[search,retrain,evaluate]",
]
"""The whole pipeline but the report, in seconds; three epochs of three batches, a checkpoint after every batch."""


class Command:
    """``python -m dsrna.KIND`` with some arguments, under way in a process of its own.

    Args:
        out: where its run folders go.
        arguments: the command line; ``out`` is added to it where it isn't there.
    """

    def __init__(self, out: Path, *arguments: str, kind: str = "search") -> None:
        self.out = out
        chosen = f"out={out}"
        before, sys.argv = sys.argv, [kind, *arguments, *([] if chosen in arguments else [chosen])]
        try:
            self.errors = out.with_name(f"{out.name}-errors.txt")
            self.process = apart().Process(target=main_with_errors_in, args=(self.errors, kind, dict(os.environ)))
            self.process.start()
        finally:
            sys.argv = before

    @property
    def folder(self) -> RunFolder | None:
        """The only run folder, as soon as there is one."""
        found = [path.parent for path in self.out.glob("*/run.json")]
        assert len(found) <= 1, "a resumed run stays in its folder"
        return RunFolder(found[0]) if found else None

    def wait_for(self, moment) -> None:
        """Until ``moment(folder)`` is true; fails when the process ends before."""
        while self.folder is None or not moment(self.folder):
            assert self.process.is_alive(), f"ended with {self.process.exitcode} before that moment"
            time.sleep(0.002)

    def end(self) -> int:
        """Waits; the exit status, negative after a signal."""
        self.process.join(600)
        assert not self.process.is_alive(), "still running"
        return self.process.exitcode


def steps_taken(stage: str, steps: int):
    """The moment at which ``stage`` has a checkpoint after that many weight steps."""

    def moment(folder: RunFolder) -> bool:
        path = folder.last_checkpoint(stage)
        return path.exists() and torch.load(path, weights_only=True)["global_step"] >= steps

    return moment


def images_evaluated(files: int):
    """The moment at which so many files of outcomes are there, the last of them not yet complete."""
    return lambda folder: len(list(folder.evaluation_dir.rglob("*.json"))) >= files


def verified(folder: RunFolder) -> bool:
    """Whether the first images have their verdicts."""
    return any(folder.evaluation_dir.rglob("verification_*.json"))


MOMENTS = {
    "in the first epoch of the search": ("search", steps_taken("search", 1)),
    "in a later epoch of the search": ("search", steps_taken("search", 6)),
    "in the retrain stage": ("retrain", steps_taken("retrain", 2)),
    "in the certified training": ("certified", steps_taken("certified", 6)),
    "in the evaluation": ("evaluate", images_evaluated(2)),
    "in the verification": ("evaluate", verified),
}


@pytest.fixture(scope="session")
def small():
    return SMALL


@pytest.fixture(scope="session")
def command():
    """(out, *arguments, kind="search") -> Command. Whatever is still running at the end is killed."""
    started = []

    def start(out, *arguments, **kind):
        started.append(Command(out, *arguments, **kind))
        return started[-1]

    yield start
    for each in started:
        if each.process.is_alive():
            each.process.kill()


@pytest.fixture(scope="session")
def moments():
    return MOMENTS


@pytest.fixture(scope="session")
def uninterrupted(command, tmp_path_factory):
    """The run folder of the run that nobody stopped."""
    run = command(tmp_path_factory.mktemp("whole"), *SMALL)
    assert run.end() == 0
    return run.folder


@pytest.fixture(scope="session")
def states():
    """folder -> stage -> state."""
    return lambda folder: {
        name: stage["state"] for name, stage in json.loads(folder.run_json.read_text())["stages"].items()
    }


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory):
    """Tables are converted into a folder of the module's own; kernels aren't built again, which takes half a minute."""
    own = tmp_path_factory.mktemp("cache")
    with contextlib.suppress(kernels.KernelsUnavailableError):
        kernels.library()
        shutil.copytree(cache.folder(), own / "dsrna" / "kernels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(own))
        yield


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Both tables of made-up numbers, in the original layouts."""
    root = tmp_path_factory.mktemp("tables")
    classes = representatives().tolist()
    write_adversarial(root, classes)
    write_standard(root, classes)
    return root


@pytest.fixture(scope="module")
def completed(command_line, tmp_path_factory):
    """(kind, *arguments) -> the run folder of a command that ended well."""

    def run(kind, *arguments):
        out = tmp_path_factory.mktemp("runs")
        outcome = command_line(kind, *arguments, f"out={out}")
        assert outcome.status == 0, outcome.text
        (folder,) = out.iterdir()
        return RunFolder.open(folder)

    return run


@pytest.fixture
def signalled(monkeypatch):
    """(owner, name, call, number): that signal comes while ``owner.name`` is called for the ``call``-th time."""

    def patch(owner, name, call, number=signal.SIGTERM):
        whole, calls = getattr(owner, name), count(1)

        def disturbed(*args, **kwargs):
            if next(calls) == call:
                os.kill(os.getpid(), number)
            return whole(*args, **kwargs)

        monkeypatch.setattr(owner, name, disturbed)

    return patch


@pytest.fixture
def stopped(command_line, signalled, monkeypatch):
    """(kind, arguments, owner, name, call) -> the run folder after SIGTERM and the command that was named to go on.

    The signal comes at the ``call``-th call of ``owner.name``.
    """

    def run(kind, arguments, out, owner, name, call):
        signalled(owner, name, call)
        outcome = command_line(kind, *arguments, f"out={quoted(str(out))}")
        monkeypatch.undo()
        assert outcome.status == 143, outcome.text
        assert "Traceback" not in outcome.text
        (folder,) = map(RunFolder.open, out.iterdir())
        assert "interrupted" in [stage["state"] for stage in folder.read_run()["stages"].values()]
        assert not folder.lock.exists()
        (line,) = set(re.findall(rf"^ *python -m dsrna\.{kind} (.*)$", outcome.text, flags=re.MULTILINE))
        outcome = command_line(kind, *shlex.split(line))
        assert outcome.status == 0, outcome.text
        assert list(out.iterdir()) == [folder.path]
        assert folder.is_complete
        return folder

    return run


@pytest.fixture
def refused(command_line, tables, tmp_path):
    """(kind, ordinary arguments, bad ones, what the message says) -> the run folders that are left.

    A bad argument takes the place of an ordinary one with the same key. In it, {missing} is a folder that isn't there
    and {half} one with one of the tables.
    """

    def run(kind, ordinary, typed, says):
        half, out = tmp_path / "half", tmp_path / "runs"
        half.mkdir()
        (half / FILE_NAME).symlink_to(tables / FILE_NAME)
        given = typed.format(missing=tmp_path / "missing", half=half).split()
        keys = {entry.partition("=")[0] for entry in given}
        kept = [entry for entry in [*ordinary, f"benchmark.root={tables}"] if entry.partition("=")[0] not in keys]
        outcome = command_line(kind, *kept, *given, f"out={out}")
        assert outcome.status == 2, outcome.text
        assert outcome.text.count("[error]") == 1
        for part in says.split("|"):
            assert part in outcome.text
        return list(out.iterdir()) if out.exists() else []

    return run
