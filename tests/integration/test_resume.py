"""Kill -9 at any moment, the same command with resume=auto, and the end is the same to the last bit.

``DSRNA_KILLS=200`` kills that often at random moments, ``DSRNA_KILLS_SEED`` draws other ones.
"""

import os
import random
import signal
from itertools import count

import pytest

from dsrna.testing.run_comparison import differences
from tests.thorough import THOROUGH

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("DSRNA_KILLS", "3" if THOROUGH else "1"))


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


def lived_until_killed(run, seconds, number):
    """Whether ``number`` ended the run after so many seconds, not the run itself before that."""
    run.process.join(seconds)
    if run.process.is_alive():
        os.kill(run.process.pid, number)
    status = run.end()
    assert status in {0, -number, 128 + number}, "-number also after SIGTERM, before the process listens to it"
    return status != 0


@pytest.mark.timeout(300 + 60 * KILLS)
def test_a_run_killed_at_random_moments_ends_as_one_that_was_left_alone(
    command, small, uninterrupted, states, tmp_path
):
    seed = os.environ.get("DSRNA_KILLS_SEED", "0")
    draw, kills = random.Random(seed), 0
    seconds = sum(stage["seconds"] for stage in uninterrupted.read_run()["stages"].values())
    for life in count():
        out, of_this_life = tmp_path / str(life), 0
        while of_this_life < min(5, KILLS):  # often enough to reach every stage, not to the end of the test's time
            delay, number = draw.uniform(0, seconds), draw.choice([signal.SIGKILL, signal.SIGTERM])
            if not lived_until_killed(command(out, *small, "resume=auto"), delay, number):
                break
            of_this_life += 1
        last = command(out, *small, "resume=auto")
        assert last.end() == 0
        kills += of_this_life
        where = f"life {life}, {kills} kills, seed {seed}"
        assert set(states(last.folder).values()) == {"done"}, where
        assert differences(uninterrupted, last.folder) == [], where
        assert not [*out.rglob("*.part*"), *out.rglob("run.lock")], where
        if kills >= KILLS:
            break


def test_another_seed_gives_another_run(completed, small, uninterrupted):
    """That the same seed gives the same run, the killed ones show."""
    found = "\n".join(differences(uninterrupted, completed("search", *small, "seed=1")))
    for file in ("search/last.ckpt", "retrain/best.ckpt", "metrics.jsonl", "evaluation.json"):
        assert file in found


def test_a_finished_run_is_left_as_it_is(command_line, small, uninterrupted):
    before = {path: path.read_bytes() for path in uninterrupted.path.rglob("*") if path.is_file()}
    assert command_line("search", *small, f"out={uninterrupted.path.parent}", "resume=auto").status == 0
    after = {path: path.read_bytes() for path in uninterrupted.path.rglob("*") if path.is_file()}
    assert {path for path in after if after[path] != before.get(path)} <= {uninterrupted.run_log}
