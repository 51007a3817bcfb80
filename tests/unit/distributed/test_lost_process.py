"""A process that is lost ends the run with one message; what was started is ended with it."""

import subprocess
from pathlib import Path

import pytest
import torch

from dsrna.distributed import group, leading
from dsrna.errors import ConfigError, DistributedError
from tests.unit.distributed.other_process import SCENES

OTHER = "tests.unit.distributed.other_process"


@pytest.fixture
def started(monkeypatch):
    processes, popen = [], subprocess.Popen
    monkeypatch.setattr(leading.subprocess, "Popen", lambda *a, **k: processes.append(popen(*a, **k)) or processes[-1])
    return processes


def lose_one(folder):
    with leading.led(2, "cpu", folder, OTHER) as stages:
        stages.announce("die")
        SCENES["die"]()


def test_one_that_is_killed_is_named(tmp_path, started):
    said = "Process 1 of 2 was ended by signal 9: it said nothing .*1.log.* go on with resume=auto"
    with pytest.raises(DistributedError, match=said):
        lose_one(tmp_path)
    assert group.size() == 1
    assert all(process.returncode is not None for process in started)


def test_one_that_cannot_begin_has_its_last_words_repeated(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("raise SystemExit('[error] no room on this machine')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    said = "Process 1 of 2 ended with status 1: no room on this machine"
    with pytest.raises(DistributedError, match=said), leading.led(2, "cpu", tmp_path, "broken"):
        pytest.fail("the processes can't have met")


def test_an_error_of_the_leaders_own_is_its_own_and_ends_the_others(tmp_path, started, monkeypatch):
    (tmp_path / "patient.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(leading, "_await", lambda *_: (_ for _ in ()).throw(ConfigError("a typo")))
    with pytest.raises(ConfigError, match="a typo"), leading.led(2, "cpu", tmp_path, "patient"):
        pass
    assert started[0].returncode is not None


def test_without_others_nothing_is_started(started):
    with leading.led(1, "cpu", Path("nowhere"), "none") as stages:
        stages.announce("search")
        assert group.size() == 1
    assert not started


def test_a_count_beside_torchruns_is_refused(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with (
        pytest.raises(ConfigError, match="torchrun has started 4 processes, and 2 devices are asked for"),
        leading.led(2, "cpu", Path("nowhere"), "none"),
    ):
        pass


def test_more_processes_than_gpus_are_refused(monkeypatch, started):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with (
        pytest.raises(ConfigError, match="at most 2 devices, as there are GPUs here, got 4"),
        leading.led(4, "cuda", Path("nowhere"), "none"),
    ):
        pass
    assert not started
