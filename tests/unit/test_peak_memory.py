"""What a process holds at most."""

import sys

import pytest
import torch

from dsrna.clock import working_seconds
from dsrna.peak_memory import _RESET, PeakMemory, available_memory

CPU, SIZE = torch.device("cpu"), 50_000_000


@pytest.mark.skipif(sys.platform == "win32", reason="has another way of asking")
def test_the_peak_is_of_what_was_held_since():
    first = PeakMemory(CPU)
    held = torch.ones(SIZE // 4)
    most = first.bytes()
    assert most >= first.before + 0.9 * SIZE
    del held
    if _RESET.exists():
        second = PeakMemory(CPU)
        assert second.bytes() < most - 0.5 * SIZE


def test_what_is_free_is_less_than_what_a_machine_can_have():
    free = available_memory(CPU)
    assert free is None or 1e6 < free < 1e15


def test_one_thread_is_timed_by_what_it_has_of_a_core(monkeypatch):
    monkeypatch.setattr("time.process_time", lambda: 5.0)
    monkeypatch.setattr("time.perf_counter", lambda: 7.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert working_seconds(CPU) == 5.0
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert working_seconds(CPU) == 7.0
