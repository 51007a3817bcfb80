"""The disk is full in the middle of a run: one message, what was there stays whole, and the run goes on afterwards."""

import errno
import os
import shlex

import pytest

from dsrna import files, run_folder
from dsrna.json_files import read_json
from dsrna.run_folder import RunFolder
from dsrna.testing.run_comparison import differences
from dsrna.training.checkpoints import load_checkpoint

pytestmark = pytest.mark.slow

MOMENTS = [
    ("last.ckpt", 5),
    ("metrics.jsonl", 1),
    ("genotype.json", 1),
    ("clean.json", 2),
    ("evaluation.json", 1),
]


@pytest.fixture
def full_from(monkeypatch):
    """(name, count): there is no room for the ``count``-th file of that name, and for no other one after that."""

    def fill(name, count):
        monkeypatch.undo()
        part, fsync, append = files._part, os.fsync, run_folder.append_line
        left = count

        def begin(path):
            nonlocal left
            left -= path.name == name

        def fail():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def begun(path):
            begin(path)
            return part(path)

        def synced(descriptor):
            return fail() if left <= 0 else fsync(descriptor)

        def appended(path, record):
            begin(path)
            if left <= 0:
                with path.open("ab") as file:
                    file.write(b'{"stage": "sea')
                fail()
            append(path, record)

        monkeypatch.setattr(files, "_part", begun)
        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(run_folder, "append_line", appended)

    return fill


def test_a_full_disk_in_every_stage(command_line, full_from, small, uninterrupted, monkeypatch, tmp_path):
    given = [*small, f"out={tmp_path}", "resume=auto"]
    for name, count in MOMENTS:
        full_from(name, count)
        outcome = command_line("search", *given)
        where = f"{name} {count}:\n{outcome.text}"
        assert outcome.status == 2, where
        assert outcome.text.count("[error]") == 1, where
        message = outcome.text.rpartition("[error]")[2]
        assert "No space left on device" in message, where
        assert "resume=auto" in message, where
        assert str(tmp_path) in message, where
        assert "Traceback" not in outcome.text, where
        (folder,) = map(RunFolder.open, tmp_path.iterdir())
        assert not [*folder.path.rglob("*.part*"), *folder.path.rglob("run.lock")], where
        for path in folder.path.rglob("*"):
            if path.suffix in (".json", ".ckpt"):
                (read_json if path.suffix == ".json" else load_checkpoint)(path)
        folder.read_metrics()
    monkeypatch.undo()
    outcome = command_line("search", *given)
    assert outcome.status == 0, shlex.join(given)
    assert folder.is_complete
    assert differences(uninterrupted, folder) == []
