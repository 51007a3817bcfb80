"""Ctrl-C stops where the state is whole; a second one stops at once."""

import os
import signal
import threading

import pytest

from dsrna.testing.run_comparison import differences
from dsrna.training.interruption import CtrlC, Interrupted


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def press_at(stage, name, call, times=1):
    """Ctrl-C in the middle of call number ``call`` of ``stage.module.name``."""
    whole, calls = getattr(stage.module, name), iter(range(10**6))

    def pressed(*args, **kwargs):
        if next(calls) == call:
            for _ in range(times):
                press_ctrl_c()
        return whole(*args, **kwargs)

    setattr(stage.module, name, pressed)


@pytest.mark.parametrize(
    ("kind", "name", "call", "steps"),
    [
        ("search", "training_step", 0, 1),
        ("search", "training_step", 4, 5),
        ("search", "training_step", 5, 6),  # the last batch of an epoch: after its validation
        ("search", "finish_epoch", 2, 9),
        ("search", "on_fit_start", 0, 1),
        ("retrain", "training_step", 4, 5),
        ("retrain", "validation_step", 0, 3),
    ],
)
def test_the_state_is_saved_and_the_run_goes_on(search_stage, retrain_stage, tmp_path, kind, name, call, steps, caplog):
    build = {"search": search_stage, "retrain": retrain_stage}[kind]
    whole = build(tmp_path / "whole")
    whole.run()
    stage = build(tmp_path / "run")
    press_at(stage, name, call)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted):
        stage.run()
    assert signal.getsignal(signal.SIGINT) is before
    assert stage.state()["global_step"] == steps
    assert "press Ctrl-C again to stop at once" in caplog.text
    again = build(tmp_path / "run")
    again.run()
    assert differences(whole.folder, again.folder) == []


def test_a_second_ctrl_c_stops_at_once(search_stage, tmp_path):
    stage = search_stage(tmp_path)
    press_at(stage, "training_step", 4, times=2)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted):
        stage.run()
    assert stage.state()["global_step"] == 3, "the first epoch's, nothing was saved in the second"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_request_that_nobody_obeyed_is_obeyed_at_the_end():
    def work():
        with CtrlC() as ctrl_c:
            press_ctrl_c()
            assert ctrl_c.asked
            done.append("all of it")

    done = []
    with pytest.raises(Interrupted):
        work()
    assert done == ["all of it"]


def test_an_error_is_not_hidden_by_a_request():
    def fail():
        with CtrlC():
            press_ctrl_c()
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail()


def test_outside_the_main_thread_nothing_happens():
    before = signal.getsignal(signal.SIGINT)
    found = []

    def work():
        with CtrlC() as ctrl_c:
            found.append((ctrl_c.asked, signal.getsignal(signal.SIGINT) is before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, True)]


def test_interrupted_is_no_error_that_a_library_swallows():
    assert not issubclass(Interrupted, Exception)
