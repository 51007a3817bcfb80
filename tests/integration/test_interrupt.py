"""Signals save, say how to go on, and a second Ctrl-C stops at once; what can't go on says why."""

import os
import re
import shlex
import signal
import time
from itertools import cycle

import pytest

from dsrna.__main__ import main
from dsrna.run_folder import RunFolder
from dsrna.testing.run_comparison import differences
from dsrna.training.checkpoints import load_checkpoint

pytestmark = pytest.mark.slow


def advice(text):
    """The overrides of the last command that the user is told to go on with."""
    commands = re.findall(r"^ *python -m dsrna\.search (.*)$", text, flags=re.MULTILINE)
    return shlex.split(commands[-1])


def test_a_run_interrupted_in_every_stage_goes_on_by_the_command_that_it_names(
    command, small, moments, uninterrupted, states, tmp_path
):
    overrides = list(small)
    interrupted = []
    for (stage, moment), number in zip(moments.values(), cycle((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))):
        run = command(tmp_path, *overrides)
        run.wait_for(moment)
        os.kill(run.process.pid, number)
        assert run.end() == 128 + number
        assert not run.folder.lock.exists()
        log = run.folder.run_log.read_text()
        assert sorted(advice(log)) == sorted([*small, f"out={tmp_path}", "resume=auto"])
        overrides = advice(log)
        state = states(run.folder)[stage]
        assert state in ("interrupted", "done")  # a stage may end before the signal arrives
        if state == "interrupted":
            interrupted.append(stage)
            assert f"Interrupted in the {stage} stage" in log
    assert len(interrupted) > len(moments) / 2
    last = command(tmp_path, *overrides)
    assert last.end() == 0
    assert differences(uninterrupted, last.folder) == []


def test_a_folder_of_any_name(stopped, small, tmp_path):
    """It is searched, stopped, continued by the command that is named, and its report drawn again."""
    name = """-x=y $HOME [b]c 'd' "e" {f: 1}"""
    given = [o for o in small if not o.startswith(("stages", "trainer.limits.epochs"))]
    given += ["trainer.limits.epochs=1", "stages=[search]"]
    folder = stopped("search", given, tmp_path / name, RunFolder, "append_metrics", 1)
    assert folder.path.parent == tmp_path / name
    assert folder.genotype_json.is_file()
    assert main(["report", str(folder.path)]) == 0
    assert folder.report_html.is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_second_ctrl_c_stops_at_once(command, small, tmp_path):
    # Batches so large that the first Ctrl-C, which waits for the end of one, has to wait.
    slow = [o for o in small if "batch" not in o and "limits.c" not in o]
    slow += ["search.batch_size=150", "search.warmup_epochs=0", "trainer.limits.cells=20", "trainer.limits.channels=64",
             "trainer.limits.batches=1", "search.implementation=reference"]  # fmt: skip
    run = command(tmp_path / "runs", *slow)
    run.wait_for(lambda folder: folder.run_log.exists() and "steps, supernet with" in folder.run_log.read_text())
    time.sleep(0.3)
    os.kill(run.process.pid, signal.SIGINT)
    run.wait_for(lambda folder: "press Ctrl-C again" in run.errors.read_text())
    os.kill(run.process.pid, signal.SIGINT)
    assert run.end() == 130
    text = run.errors.read_text()
    assert "resume=auto" in advice(text)
    assert "Traceback" not in text
    (folder,) = (tmp_path / "runs").iterdir()
    saved = [path for path in folder.rglob("*") if path.suffix == ".ckpt"]
    assert all(load_checkpoint(path)["global_step"] < 3 for path in saved), "nothing half-written, and not to the end"


def test_a_non_finite_loss_ends_with_status_2_the_step_and_a_snapshot(command, small, states, tmp_path):
    run = command(tmp_path, *small, "search.weights_optimizer.lr=1e30", "search.weights_schedule=null")
    assert run.end() == 2
    assert states(run.folder)["search"] == "failed"
    snapshot = run.folder.last_checkpoint("search").with_name("nonfinite.ckpt")
    step = load_checkpoint(snapshot)["global_step"]
    assert f"(step {step})" in run.folder.run_log.read_text()
    assert load_checkpoint(run.folder.last_checkpoint("search"))["global_step"] <= step
    assert not run.folder.genotype_json.exists()


def test_two_jobs_of_a_multirun_have_a_wandb_run_each(command, small, tmp_path):
    jobs = [o for o in small if not o.startswith(("stages", "trainer.limits.epochs"))]
    run = command(
        tmp_path,
        "-m",
        *jobs,
        "seed=0,1",
        "stages=[search]",
        "trainer.limits.epochs=1",
        "logger=wandb",
        "logger.wandb.mode=offline",
    )
    assert run.end() == 0
    records = sorted(path for path in tmp_path.rglob("run-*.wandb"))
    assert [path.parents[2].name for path in records] == ["0", "1"]
    assert len({path.stem for path in records}) == 2
