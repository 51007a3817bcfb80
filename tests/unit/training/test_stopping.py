"""A signal stops a stage where its state is whole; a second Ctrl-C stops at once."""

import os
import signal
from functools import cache

import pytest

from dsrna.interruption import SIGNALS, Interrupted, StopSignals
from dsrna.testing.run_comparison import differences
from tests.thorough import thorough


def send_at(stage, name, call, *numbers):
    """These signals in the middle of call number ``call`` of ``stage.module.name``."""
    whole, calls = getattr(stage.module, name), iter(range(10**6))

    def sent(*args, **kwargs):
        if next(calls) == call:
            for number in numbers:
                os.kill(os.getpid(), number)
        return whole(*args, **kwargs)

    setattr(stage.module, name, sent)


@pytest.fixture(scope="module")
def finished(search_stage, retrain_stage, tmp_path_factory):
    """kind -> the folder of the run that nobody stopped; only read."""

    @cache
    def finished(kind):
        stage = {"search": search_stage, "retrain": retrain_stage}[kind](tmp_path_factory.mktemp("whole"))
        stage.run()
        return stage.folder

    return finished


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name", "call", "steps", "number"),
    [
        ("search", "training_step", 0, 1, signal.SIGINT),
        ("search", "training_step", 4, 5, signal.SIGTERM),
        ("search", "training_step", 5, 6, signal.SIGTERM),  # the last batch of an epoch: after its validation
        ("search", "finish_epoch", 2, 9, signal.SIGTERM),
        ("search", "on_fit_start", 0, 1, signal.SIGINT),
        ("retrain", "training_step", 4, 5, signal.SIGHUP),
        ("retrain", "validation_step", 0, 3, signal.SIGTERM),
        thorough("retrain", "validation_step", 0, 3, signal.SIGHUP),
    ],
)
def test_the_state_is_saved_and_the_run_goes_on(
    search_stage, retrain_stage, finished, tmp_path, kind, name, call, steps, number, caplog, monkeypatch
):
    # As under srun: Lightning would put its own handlers there and requeue the job.
    for key, value in {"SLURM_NTASKS": "1", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "x", "SLURM_PROCID": "0"}.items():
        monkeypatch.setenv(key, value)
    build = {"search": search_stage, "retrain": retrain_stage}[kind]
    stage = build(tmp_path / "run")
    send_at(stage, name, call, number)
    before = [signal.getsignal(each) for each in SIGNALS]
    with pytest.raises(Interrupted) as stopped:
        stage.run()
    assert stopped.value.number == number
    assert [signal.getsignal(each) for each in SIGNALS] == before
    assert stage.state()["global_step"] == steps
    assert "to stop at once" in caplog.text
    again = build(tmp_path / "run")
    again.run()
    assert differences(finished(kind), again.folder) == []


@pytest.mark.parametrize(
    ("numbers", "steps"),
    [
        ([signal.SIGINT, signal.SIGINT], 3),  # the first epoch's, nothing was saved in the second
        ([signal.SIGTERM, signal.SIGINT], 3),
        ([signal.SIGTERM, signal.SIGTERM], 5),  # a scheduler's second one is no haste
        ([signal.SIGINT, signal.SIGHUP], 5),
    ],
)
def test_only_a_second_ctrl_c_stops_at_once(search_stage, tmp_path, numbers, steps):
    stage = search_stage(tmp_path)
    send_at(stage, "training_step", 4, *numbers)
    with pytest.raises(Interrupted) as stopped, StopSignals(at_once=True):
        stage.run()
    assert stopped.value.number == numbers[0]
    assert stage.state()["global_step"] == steps


def test_signals_while_a_checkpoint_is_written_do_it_no_harm(search_stage, tmp_path, monkeypatch):
    stage = search_stage(tmp_path)
    synced = os.fsync

    def disturbed(descriptor):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        synced(descriptor)

    monkeypatch.setattr(os, "fsync", disturbed)
    with pytest.raises(Interrupted):
        stage.run()
    assert stage.state()["global_step"] == 3
    assert not list(tmp_path.rglob(".*.part*"))
