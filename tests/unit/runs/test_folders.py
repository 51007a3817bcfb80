"""What stages note in run.json is what a resumed run goes by."""

import errno
import os
import subprocess
from types import SimpleNamespace

import pytest

from dsrna.errors import CheckpointError, ConfigError, DataError
from dsrna.interruption import Interrupted
from dsrna.run_folder import RunFolder
from dsrna.run_lock import held
from dsrna.runs.folders import at_work, check_data, do_stage, unfinished
from dsrna.stages import run as stages
from dsrna.testing.run_folders import build_run_folder


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(
        tmp_path, kind="search", fingerprint="f", config_text="", overrides=[], stages=["search", "report"],
        device="cpu", command="",
    )  # fmt: skip


@pytest.fixture
def request_to_go_on(folder):
    return SimpleNamespace(folder=folder.path, fingerprint="f", settings=SimpleNamespace(resume="auto"))


def test_only_its_holder_goes_on_with_a_run(folder, request_to_go_on):
    """Also where the commands' own lock is passed by, as from Python."""
    assert unfinished(request_to_go_on) == folder
    with held(folder.path):
        assert unfinished(request_to_go_on) == folder
    with subprocess.Popen(["sleep", "60"]) as another:
        part = folder.path / "search" / f".last.ckpt.part{another.pid}"
        part.parent.mkdir()
        part.write_bytes(b"half a checkpoint")
        with pytest.raises(CheckpointError, match=f"in use: process {another.pid} is writing a file there"):
            unfinished(request_to_go_on)
        assert part.exists()
        another.kill()
    assert unfinished(request_to_go_on) == folder
    assert not part.exists()
    assert not folder.lock.exists()


def state(folder, stage="search"):
    return folder.read_run()["stages"][stage]["state"]


def raiser(error):
    def work():
        raise error

    return work


def test_a_stage_is_running_while_it_works_and_done_after(folder):
    seen = []
    do_stage(folder, "search", lambda: seen.append(state(folder)))
    do_stage(folder, "search", lambda: seen.append("again"))
    assert (seen, state(folder)) == (["running"], "done")


@pytest.mark.parametrize(
    ("error", "noted"),
    [(Interrupted(15), "interrupted"), (DataError("x"), "failed"), (ValueError("x"), "failed")],
)
def test_how_a_stage_ended_is_noted_and_it_is_done_again(folder, error, noted, caplog):
    with pytest.raises(type(error)):
        do_stage(folder, "search", raiser(error))
    assert state(folder) == noted
    assert ("Interrupted in the search stage" in caplog.text) == (noted == "interrupted")
    do_stage(folder, "search", lambda: None)
    assert state(folder) == "done"


def test_on_a_full_disk_the_first_error_is_what_is_heard_of(folder, monkeypatch):
    def full():
        monkeypatch.setattr(RunFolder, "set_stage", lambda *_: raiser(ConfigError("no space to note it"))())
        raise DataError("no space")

    with pytest.raises(DataError, match="no space"):
        do_stage(folder, "search", full)


@pytest.mark.parametrize("number", [2, 15, 1])
def test_a_signal_says_where_what_was_done_is_and_how_to_go_on(folder, number, capsys):
    request = SimpleNamespace(resume_command="python -m dsrna.search seed=3 resume=auto")

    def work():
        with at_work(folder, request):
            raise Interrupted(number)

    with pytest.raises(Interrupted):
        work()
    for text in (folder.run_log.read_text(), capsys.readouterr().err):
        assert f"{folder.path}. To go on:\n  python -m dsrna.search seed=3 resume=auto\n" in text


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_no_room_for_a_file_is_told_and_other_errors_are_not_mistaken_for_it(folder, number):
    def work():
        with at_work(folder, SimpleNamespace(resume_command="")):
            raise OSError(number, os.strerror(number))

    with pytest.raises((ConfigError, OSError), match=os.strerror(number)) as found:
        work()
    assert found.type is (OSError if number == errno.EIO else ConfigError)
    if number != errno.EIO:
        assert f"{folder.path}: " in str(found.value)
        assert "Make room there and go on with resume=auto" in str(found.value)


@pytest.mark.parametrize("killed", ["while it draws", "before the dashboard has the pictures"])
def test_the_report_is_done_only_when_it_is_drawn_and_shown(folder, monkeypatch, killed):
    def draw(path):
        assert not folder.is_complete, "a kill leaves what is noted now"
        if killed == "while it draws":
            raise Killed
        folder.report_html.touch()

    def show(pictures):
        assert not folder.is_complete
        if killed:
            raise Killed

    do_stage(folder, "search", lambda: None)
    monkeypatch.setattr(stages, "write_report", draw)
    job = SimpleNamespace(folder=folder, dashboard=SimpleNamespace(log_pictures=show, log_file=lambda *_: None))
    with pytest.raises(Killed):
        do_stage(folder, "report", lambda: stages.report(job))
    assert not folder.is_complete
    killed = None
    do_stage(folder, "report", lambda: stages.report(job))
    assert folder.is_complete
    assert folder.report_html.exists()


def test_the_page_of_a_search_alone_is_drawn_by_the_run_that_goes_on(tmp_path, monkeypatch):
    """The tables' verdict is there, and the process was killed before it drew."""
    folder = build_run_folder(tmp_path / "run", ("search",))
    folder.verdict_json.write_text("{}")
    drawn = []
    monkeypatch.setattr(stages, "write_report", lambda path: drawn.append(path) or folder.report_html.touch())
    monkeypatch.setattr(stages, "show_result", lambda folder: None)
    stages.STAGES.summary(folder, None, False)
    stages.STAGES.summary(folder, None, False)
    assert drawn == [folder.path]


def test_a_run_goes_on_with_its_own_images_alone(tmp_path):
    folder = RunFolder.create(
        tmp_path, kind="search", fingerprint="f", config_text="", overrides=[], stages=["search"], device="cpu",
        data="0a", command="",
    )  # fmt: skip
    check_data(folder, "0a")
    with pytest.raises(CheckpointError, match=r"on other images.*0a.*0b.*\(conf: data\)"):
        check_data(folder, "0b")
