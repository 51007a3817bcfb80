"""Work that several processes share."""

import pytest

from dsrna.run_lock import held, held_if_free
from dsrna.runs import inside
from dsrna.runs.inside import work_together


def test_what_another_holds_is_left_to_it_and_waited_for(tmp_path, monkeypatch):
    done, waited = [], []
    other = held(tmp_path / "b")
    other.__enter__()  # as by a process that is at work there

    def wait(seconds):
        waited.append(list(done))
        other.__exit__(None, None, None)

    def do(name):
        with held_if_free(tmp_path / name) as refusal:
            if refusal is None:
                done.append(name)
            return refusal is None

    monkeypatch.setattr(inside.time, "sleep", wait)
    work_together(lambda: [name for name in "abc" if name not in done], do)
    assert done == ["a", "c", "b"]
    assert waited == [["a", "c"]]


def test_nothing_is_begun_after_the_time_is_up(monkeypatch):
    work_together(lambda: ["a"], pytest.fail, until=0.0)
