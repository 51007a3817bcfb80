"""A new command is settings, a program, a YAML and an entry; all else it has from `dsrna.runs`."""

import json
import os
import signal
import sys
import types
from dataclasses import dataclass

import pytest

from dsrna import commands
from dsrna.__main__ import main
from dsrna.config.catalog import conf_folder
from dsrna.config.model import read as read_settings
from dsrna.config.settings import RunSettings
from dsrna.errors import CheckpointError, DataError
from dsrna.files import write_text
from dsrna.run_folder import RunFolder
from dsrna.run_lock import held
from dsrna.runs.command import Command, Objective, Program
from dsrna.runs.in_process import run_in_process
from dsrna.runs.request import Request

YAML = """\
# Counts to a number
defaults:
  - _self_
  - override hydra/job_logging: none
  - override hydra/hydra_logging: none

name: count
seed: 0
resume: never
out: runs
number: 3

hydra:
  output_subdir: null
  job: { chdir: false }
  run: { dir: "${out}/${name}" }
  sweep: { dir: "${out}/sweep", subdir: "${hydra:job.num}" }
"""


# --- settings -------------------------------------------------------------------------------------------------------
class CountSettings(RunSettings):
    """How far."""

    number: int


def count_settings(config):
    return read_settings(CountSettings, config)


# --- program --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Counting:
    request: Request[CountSettings]
    data = "the images' digest"
    first_lines = ("counting",)


def prepare(request):
    if request.settings.number > 9:
        raise DataError("There are ten fingers.")
    return Counting(request)


def count(counting):
    file = counting.request.folder / "counted"
    done = file.read_text() if file.exists() else ""
    for number in range(len(done), counting.request.settings.number):
        done += str(number)
        write_text(file, done)
        if "stop" in os.environ and number == 1:
            os.kill(os.getpid(), signal.SIGTERM)


def draw(folder):
    page = RunFolder(folder).report_html
    write_text(page, (folder / "counted").read_text())
    return page


def counted(folder):
    return float(len((folder.path / "counted").read_text()))


COUNT = Program(
    prepare=prepare,
    stages=lambda settings: {"count": count},
    objective=lambda settings: Objective("counted", "count", counted),
)
# --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _there(monkeypatch, tmp_path):
    """The YAML lies with the others, and the entry is in the table."""
    conf = tmp_path / "conf"
    conf.mkdir()
    for entry in conf_folder().iterdir():
        (conf / entry.name).symlink_to(entry)
    (conf / "count.yaml").write_text(YAML)
    for module in ("config.catalog", "config.compose", "config.places", "runs.launch"):
        monkeypatch.setattr(f"dsrna.{module}.conf_folder", lambda: conf)
    monkeypatch.setitem(sys.modules, "counting", types.SimpleNamespace(COUNT=COUNT, draw=draw))
    command = Command("count", ("count",), count_settings, "counting:COUNT", "counting:draw")
    monkeypatch.setitem(commands.COMMANDS, "count", command)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "runs"


def test_it_runs_is_shown_and_is_drawn_again(command_line, out, capsys):
    outcome = command_line("count", "number=4", f"out={out}")
    assert outcome.status == 0, outcome.text
    assert "counting" in outcome.text
    (folder,) = map(RunFolder.open, out.iterdir())
    run = folder.read_run()
    assert (folder.is_complete, run["kind"], run["data"]) == (True, "count", "the images' digest")
    assert run["objective"] == {"name": "counted", "value": 4.0}
    assert run["command"].startswith("python -m dsrna.count number=4")
    assert "number: 4" in folder.config_yaml.read_text()
    assert "finished already" in command_line("count", "number=4", f"out={out}", "resume=auto").text
    assert commands.redraw(folder.path).read_text() == "0123"
    assert main(["show", "count", "number=5"]) == 0
    assert "number: 5\n" in capsys.readouterr().out
    assert (
        run_in_process(commands.COMMANDS["count"], ["number=2", f"out={out}"]).joinpath("counted").read_text() == "01"
    )


def test_wrong_settings_are_refused_and_nothing_is_written(command_line, out):
    for typed, says in (("number=x", "conf: number"), ("nubmer=3", "Did you mean `number`"), ("number=10", "fingers")):
        outcome = command_line("count", typed, f"out={out}")
        assert (outcome.status, outcome.text.count("[error]")) == (2, 1), outcome.text
        assert says in outcome.text
    assert not out.exists() or not list(out.iterdir())


def test_a_signal_leaves_a_run_to_go_on_with_that_only_one_process_holds(command_line, out, monkeypatch):
    monkeypatch.setenv("stop", "")
    outcome = command_line("count", "number=4", f"out={out}")
    assert outcome.status == 143, outcome.text
    assert "python -m dsrna.count number=4" in outcome.text
    monkeypatch.delenv("stop")
    (folder,) = map(RunFolder.open, out.iterdir())
    assert folder.read_run()["stages"]["count"]["state"] == "interrupted"
    assert (folder.path / "counted").read_text() == "01"
    run = json.loads(folder.run_json.read_text())
    folder.run_json.write_text(json.dumps(run | {"data": "others"}))
    assert "on other images" in command_line("count", "number=4", f"out={out}", "resume=auto").text
    folder.run_json.write_text(json.dumps(run))
    with held(folder.path), pytest.raises(CheckpointError, match="in use"):
        run_in_process(commands.COMMANDS["count"], ["number=4", f"out={out}", "resume=auto"])
    assert command_line("count", "number=4", f"out={out}", "resume=auto").status == 0
    assert (folder.path / "counted").read_text() == "0123"
    assert list(out.iterdir()) == [folder.path]


def test_a_sweep_goes_over_what_fails(command_line, out):
    outcome = command_line("count", "-m", "number=2,10,3", f"out={out}")
    assert outcome.status == 2
    assert "1 job(s) failed" in outcome.text
    assert "1: DataError: There are ten fingers." in outcome.text
    (sweep,) = out.iterdir()
    assert [(sweep / job / "counted").exists() for job in ("0", "1", "2")] == [True, False, True]
    assert RunFolder.open(sweep / "1").read_run()["stages"] == {"count": {"state": "failed"}}
