"""Ctrl-C, SIGTERM and SIGHUP: one request to stop, obeyed once."""

import multiprocessing.reduction
import os
import pickle
import signal
import threading

import pytest

from dsrna.interruption import SIGNALS, Interrupted, StopSignals, stop_if_asked

every_signal = pytest.mark.parametrize("number", SIGNALS)


@pytest.fixture(autouse=True)
def _handlers_come_back():
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before


def send(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)


def stopped(work, at_once):
    """What ended ``work(block, done)`` in a block, and what it had added to ``done``."""
    done = []

    def run():
        with StopSignals(at_once) as block:
            work(block, done)

    with pytest.raises(Interrupted) as found:
        run()
    return found.value, done


@every_signal
def test_a_signal_stops_at_once_with_the_status_that_shells_give_it(number):
    def work(block, done):
        send(number)
        done.append("more")

    found, done = stopped(work, at_once=True)
    assert found.exit_status == {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}[number.name]
    assert done == []


@every_signal
def test_inside_a_block_that_saves_a_signal_only_asks(number):
    def work(outer, done):
        with StopSignals(at_once=False, on_ask=done.append) as inner:
            assert not inner.asked
            send(number)
            assert inner.asked
            done.append("the batch")
            inner.stop_if_asked()
            done.append("another batch")

    found, done = stopped(work, at_once=True)
    assert (done, found.number) == ([number, "the batch"], number)


def test_a_request_that_nobody_obeyed_is_obeyed_at_the_end():
    def work(block, done):
        send(signal.SIGTERM)
        done.append("all of it")

    assert stopped(work, at_once=False)[1] == ["all of it"]


def test_schedulers_may_repeat_themselves_while_the_state_is_saved():
    """SIGTERM to a process group arrives twice where a parent passes it on, and a hangup may come with it."""

    def work(outer, done):
        try:
            with StopSignals(at_once=False):
                send(signal.SIGTERM, signal.SIGTERM, signal.SIGHUP)
                done.append("saved")
        finally:
            send(signal.SIGTERM)
            done.append("noted")

    found, done = stopped(work, at_once=True)
    assert (done, found.number) == (["saved", "noted"], signal.SIGTERM)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_second_ctrl_c_stops_at_once(at_once):
    def work(block, done):
        try:
            send(signal.SIGINT)
            done.append("saving")
            send(signal.SIGINT)
            done.append("saved")
        except Interrupted:
            done.append("stopping")
            raise

    assert stopped(work, at_once)[1] == (["stopping"] if at_once else ["saving", "stopping"])


def test_what_the_process_was_started_to_ignore_stays_ignored():
    """``nohup`` and background jobs."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals(at_once=True) as stop:
            send(signal.SIGHUP)
            assert not stop.asked
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_librarys_handler_is_put_aside():
    def work(block, done):
        signal.signal(signal.SIGTERM, lambda *_: done.append("the library's"))
        block.listen()
        send(signal.SIGTERM)

    assert stopped(work, at_once=False)[1] == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_exception_that_was_lost_is_raised_again():
    class Unlucky:
        def __del__(self):
            send(signal.SIGTERM)
            len("")  # the signal arrives before this ends, inside the destructor

    def work(block, done):
        Unlucky()
        done.append("went on")
        stop_if_asked()
        done.append("went on again")

    assert stopped(work, at_once=True)[1] == ["went on"]


def test_an_error_is_not_hidden_by_a_request():
    def work():
        with StopSignals(at_once=False):
            send(signal.SIGINT)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        work()


def test_a_new_block_knows_nothing_of_the_last():
    stopped(lambda block, done: send(signal.SIGTERM), at_once=True)
    with StopSignals(at_once=False) as stop:
        assert not stop.asked
    stop_if_asked()


def test_outside_the_main_thread_nothing_happens():
    before = signal.getsignal(signal.SIGINT)
    found = []

    def work():
        with StopSignals(at_once=False) as stop:
            found.append((stop.asked, signal.getsignal(signal.SIGINT) is before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, True)]


def test_interrupted_is_no_error_that_a_library_swallows_and_comes_back_from_another_process():
    assert not issubclass(Interrupted, Exception)
    dumped = multiprocessing.reduction.ForkingPickler.dumps(Interrupted(15))
    assert pickle.loads(dumped).exit_status == 143  # noqa: S301 - our own
