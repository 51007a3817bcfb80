import io
import logging

import pytest
from rich.console import Console

import dsrna.progress
from dsrna.progress import Progress


@pytest.fixture
def console(monkeypatch):
    """(is a terminal) -> what is shown on it."""

    def make(terminal):
        shown = io.StringIO()
        made = Console(file=shown, force_terminal=terminal, width=120, color_system=None)
        monkeypatch.setattr(dsrna.progress, "terminal", lambda: made)
        return shown

    return make


def walk(**settings):
    with Progress("search", 4, **settings) as bar:
        for loss in (2.0, 1.5, 1.25, 1.0):
            bar.advance(1, {"loss": loss, "epoch": "1/2"})


def test_it_is_quiet_where_there_is_no_terminal(console, caplog):
    shown = console(False)
    with caplog.at_level(logging.INFO, "dsrna"):
        walk()
    assert shown.getvalue().strip() == ""
    assert caplog.records == []


def test_a_log_line_tells_the_time_left_by_what_was_done_here(console, caplog, monkeypatch):
    console(False)
    now = iter([0.0, *[60.0] * 9])
    monkeypatch.setattr(dsrna.progress.time, "monotonic", lambda: next(now))
    with caplog.at_level(logging.INFO, "dsrna"), Progress("evaluate", 100, done=20) as bar:
        bar.advance(30, {"PGD-20": "50 %"})
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == "evaluate: 50 of 100, about 2 min left  PGD-20 50 %"  # 30 took a minute


def test_a_notebook_shows_a_bar(monkeypatch):
    made = Console(file=io.StringIO(), force_jupyter=True, width=120)
    monkeypatch.setattr(dsrna.progress, "terminal", lambda: made)
    assert not made.is_terminal
    assert Progress("search", 4)._shown
    assert not Progress("search", 4, mode="off")._shown


def test_a_terminal_shows_title_count_numbers_and_time_left(console):
    shown = console(True)
    walk()
    text = shown.getvalue()
    for part in ("search", "4/4", "loss 1", "epoch 1/2", "left"):
        assert part in text


def test_work_that_finds_out_how_much_it_is_shows_that(console):
    shown = console(True)
    with Progress("verify", 400) as bar:
        bar.reach(20, 50, {})
        bar.reach(50, 50, {"radius": 0.5})
    assert "50/50" in shown.getvalue()
    assert "radius 0.5" in shown.getvalue()


def test_off_is_off_on_a_terminal_too_and_on_is_on_elsewhere(console):
    shown = console(True)
    walk(mode="off")
    assert "search" not in shown.getvalue()
    shown = console(False)
    walk(mode="on")
    assert "search" in shown.getvalue()


def test_long_work_without_a_terminal_logs_a_line_now_and_then(console, caplog, monkeypatch):
    console(False)
    clock = iter(range(0, 1000, 20))  # 20 s a look
    monkeypatch.setattr(dsrna.progress.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO, "dsrna"), Progress("search", 10, done=3, every_seconds=30) as bar:
        for _ in range(4):
            bar.advance(1, {"loss": 0.123456})
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "search: 5 of 10, about 2 min left  loss 0.1235"
    assert 1 <= len(lines) <= 2


def test_off_logs_nothing(console, caplog, monkeypatch):
    console(False)
    clock = iter(range(0, 10000, 100))
    monkeypatch.setattr(dsrna.progress.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO, "dsrna"):
        walk(mode="off")
    assert caplog.records == []
