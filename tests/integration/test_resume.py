"""Kill -9 at any moment, the same command with resume=auto, and the end is the same to the last bit."""

import os
import signal

import pytest

from dsrna.testing.run_comparison import differences

pytestmark = pytest.mark.slow


def test_a_run_killed_in_every_stage_ends_as_one_that_was_left_alone(
    command, small, moments, uninterrupted, states, tmp_path
):
    found = []
    for stage, moment in moments.values():
        run = command(tmp_path, *small, "resume=auto")
        run.wait_for(moment)
        os.kill(run.process.pid, signal.SIGKILL)
        assert run.end() == -signal.SIGKILL
        found.append(states(run.folder)[stage])
    # On a busy machine a stage of a few steps may end before the kill arrives; not all of them do.
    assert set(found) <= {"running", "done"}
    assert "running" in found
    last = command(tmp_path, *small, "resume=auto")
    assert last.end() == 0
    assert set(states(last.folder).values()) == {"done"}
    assert differences(uninterrupted, last.folder) == []
    assert not list(tmp_path.rglob("*.part*")), "what the killed processes were writing is gone"
    assert not list(tmp_path.rglob("run.lock"))


def test_the_same_seed_gives_the_same_run_and_another_seed_another(command, small, uninterrupted, tmp_path):
    same, other = command(tmp_path / "same", *small), command(tmp_path / "other", *small, "seed=1")
    assert (same.end(), other.end()) == (0, 0)
    assert differences(uninterrupted, same.folder) == []
    found = "\n".join(differences(uninterrupted, other.folder))
    for file in ("search/last.ckpt", "retrain/best.ckpt", "metrics.jsonl", "evaluation.json"):
        assert file in found


def test_a_finished_run_is_left_as_it_is(command, small, uninterrupted):
    before = {path: path.read_bytes() for path in uninterrupted.path.rglob("*") if path.is_file()}
    assert command(uninterrupted.path.parent, *small, "resume=auto").end() == 0
    after = {path: path.read_bytes() for path in uninterrupted.path.rglob("*") if path.is_file()}
    assert {path for path in after if after[path] != before.get(path)} <= {uninterrupted.run_log}
