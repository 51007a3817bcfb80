"""One living process a folder: what it holds nobody takes, and what a dead one left stops nobody."""

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from dsrna.errors import CheckpointError, ConfigError
from dsrna.files import write_text
from dsrna.processes import Process, this_process
from dsrna.run_folder import RunFolder
from dsrna.run_lock import held, holder_of


@pytest.fixture
def another():
    """A process that lives; ``kill()`` ends it."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def as_seen(pid: int) -> Process:
    """What that process would say of itself."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    return replace(this_process(), pid=pid, started=f"{boot}.{fields[19]}")


def leave_lock(folder, process, slurm=None):
    folder.mkdir(exist_ok=True)
    document = {
        "schema": "dsrna.lock",
        "process": asdict(process),
        "since": "2026-01-02T03:04:05+00:00",
        "slurm": slurm,
    }
    RunFolder(folder).lock.write_text(json.dumps(document))


def leave_part(folder, process, name="last.ckpt"):
    path = folder / "search" / f".{name}.part{process.pid}-{process.started}-{process.place}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    return path


def test_the_lock_says_who_holds_the_folder_and_goes_at_the_end(tmp_path):
    folder = tmp_path / "new"
    with held(folder):
        holder = holder_of(RunFolder(folder).lock)
        assert holder.process == as_seen(os.getpid())
        with (
            pytest.raises(CheckpointError, match=rf"in use: process {os.getpid()} on .*kill {os.getpid()}"),
            held(folder),
        ):
            pytest.fail("entered")
    assert list(folder.iterdir()) == []
    with pytest.raises(ZeroDivisionError), held(folder):
        raise ZeroDivisionError
    assert list(folder.iterdir()) == []


def test_a_living_process_keeps_the_folder_and_its_half_written_files(tmp_path, another):
    process = as_seen(another.pid)
    leave_lock(tmp_path, process)
    part = leave_part(tmp_path, process)
    with pytest.raises(CheckpointError, match=rf"process {another.pid} on .* since 2026-01-02"), held(tmp_path):
        pytest.fail("entered")
    assert part.exists()
    assert holder_of(RunFolder(tmp_path).lock).process == process


@pytest.mark.parametrize("how", ["killed", "its number is another's now", "the machine was started anew"])
def test_what_a_dead_process_left_is_cleared(tmp_path, another, how):
    process = as_seen(another.pid)
    if how == "killed":
        another.kill()  # not waited for: its number still stands in the table of processes
    elif how == "its number is another's now":
        process = replace(process, started=process.started + "1")
    else:
        process = replace(process, started="0" + process.started[1:])
    leave_lock(tmp_path, process)
    part = leave_part(tmp_path, process)
    if how == "killed":
        os.waitid(os.P_PID, another.pid, os.WEXITED | os.WNOWAIT)
    with held(tmp_path):
        assert holder_of(RunFolder(tmp_path).lock).process == this_process()
        assert not part.exists()


def test_of_another_machine_nothing_is_known_and_nothing_taken(tmp_path):
    process = Process("far", "0123abcd", 1, "x.1")
    leave_lock(tmp_path, process)
    part = leave_part(tmp_path, process)
    with pytest.raises(CheckpointError, match=r"process 1 on far .*surely dead, remove .*run\.lock"), held(tmp_path):
        pytest.fail("entered")
    assert part.exists()
    RunFolder(tmp_path).lock.unlink()
    with held(tmp_path):
        assert part.exists()


def test_a_requeued_job_of_slurm_is_its_own_successor_on_any_machine(tmp_path, monkeypatch):
    process = Process("far", "0123abcd", 1, "x.1")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    for slurm in (["77", 2], ["78", 1], ["77", 3]):
        leave_lock(tmp_path, process, slurm)
        with pytest.raises(CheckpointError, match="surely dead"), held(tmp_path):
            pytest.fail("entered")
    leave_lock(tmp_path, process, ["77", 1])
    part = leave_part(tmp_path, process)
    with held(tmp_path):
        assert holder_of(RunFolder(tmp_path).lock).slurm == ("77", 2)
        assert not part.exists()


def test_half_written_files_without_a_lock(tmp_path, another):
    """Of a release without locks, or of a lock that somebody removed."""
    dead = leave_part(tmp_path, replace(as_seen(another.pid), started="x.1"))
    living = tmp_path / "search" / f".last.ckpt.part{another.pid}"
    living.write_bytes(b"half")
    with pytest.raises(CheckpointError, match=f"in use: process {another.pid} is writing"), held(tmp_path):
        pytest.fail("entered")
    assert (living.exists(), dead.exists()) == (True, False)
    assert not RunFolder(tmp_path).lock.exists()
    another.kill()
    another.wait()
    with held(tmp_path):
        assert not living.exists()


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"process": {"pid": 1}, "since": "", "slurm": null}'])
def test_a_damaged_lock_is_nobodys_to_take(tmp_path, content):
    RunFolder(tmp_path).lock.write_text(content)
    with pytest.raises(CheckpointError, match=r"damaged.*remove"), held(tmp_path):
        pytest.fail("entered")


def test_of_many_that_want_the_folder_of_a_dead_one_one_gets_it(tmp_path):
    leave_lock(tmp_path, replace(this_process(), started="x.1"))
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom dsrna.errors import CheckpointError\n"
        "from dsrna.run_lock import held\nprint('ready', flush=True)\nsys.stdin.readline()\n"
        "try:\n    with held(Path(sys.argv[1])):\n        print('in', flush=True)\n        sys.stdin.readline()\n"
        "except CheckpointError:\n    print('refused', flush=True)\n"
    )

    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.stdout.readline().strip() for process in processes]
    finally:
        for process in processes:
            process.communicate("end\n", timeout=20)
    assert sorted(said) == ["in", "refused", "refused", "refused"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=re.escape(str(tmp_path / "file" / "run"))), held(tmp_path / "file" / "run"):
        pytest.fail("entered")


def test_the_name_of_a_temporary_file_says_who_writes_it(tmp_path, monkeypatch):
    seen = []

    def noted(self, target):
        seen.append(self.name)

    monkeypatch.setattr(Path, "replace", noted)
    write_text(tmp_path / "a.json", "")
    me = this_process()
    assert seen == [f".a.json.part{me.pid}-{me.started}-{me.place}"]
