"""`dsrna plan`: whole runs rehearsed, in this process."""

import json
from dataclasses import replace

import pytest

from dsrna.__main__ import main
from dsrna.planning import command, run_cost
from dsrna.planning.run_cost import RunCost
from dsrna.planning.text import lacking, size
from dsrna.stages import training_cost
from dsrna.stages.stage_cost import CostRange, StageCost, largest

TINY = [
    "trainer.limits.cells=3", "trainer.limits.channels=2", "trainer.limits.batches=1", "trainer.limits.test_images=4",
    "trainer.limits.attacks=[fgsm]", "evaluate.eps_curve=[]", "search.random_cells=1", "trainer.progress=off",
    "search.batch_size=4", "retrain.batch_size=4",
]  # fmt: skip


def test_a_whole_run_is_told_in_print_and_for_programs_and_leaves_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(training_cost, "_RANDOM_CELLS", 3)
    out, file = tmp_path / "runs", tmp_path / "plan.json"
    assert main(["plan", *TINY, f"out={out}", "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    told = json.loads(file.read_text())
    assert list(told["stages"]) == ["search", "retrain", "baseline", "evaluate", "report"]
    assert not out.exists() or not list(out.iterdir())
    for name, stage in told["stages"].items():
        assert f"\n{name} " in printed
        for what in ("seconds", "memory", "disk"):
            assert stage[what]["low"] <= stage[what]["expected"] <= stage[what]["high"], (name, what)
    seconds = [stage["seconds"]["expected"] for stage in told["stages"].values()]
    assert told["whole"]["seconds"]["expected"] == pytest.approx(told["start"] + sum(seconds))
    assert told["whole"]["memory"]["expected"] > 100e6
    checkpoint = told["stages"]["retrain"]["disk"]
    assert 2 * checkpoint["low"] > checkpoint["high"] > checkpoint["low"]
    assert "of a random cell" in printed


def test_what_is_refused_is_refused_before_anything_is_rehearsed(monkeypatch, capsys):
    monkeypatch.setattr(run_cost, "_ways", lambda *_: pytest.fail("rehearsed"))
    for typed, says in (
        (["compare", "+comparison=digits_tour"], "rehearsal=only"),
        (["rank", "n=3"], "not rank"),
        (["search.epohcs=3"], "Did you mean `search.epochs`"),
        (["retrain"], "needs something to start from"),
    ):
        assert main(["plan", *typed]) == 2
        assert says in capsys.readouterr().err


def test_memory_is_the_largest_stage_s_and_disk_what_stays_and_one_file_twice():
    a = StageCost(CostRange(1, 2, 3), CostRange(10, 20, 30), CostRange(5, 5, 9))
    b = StageCost(CostRange(10, 20, 30), CostRange(15, 16, 17), CostRange(1, 2, 3))
    cost = RunCost(100, {"a": a, "b": b})
    assert cost.seconds == CostRange(111, 122, 133)
    assert cost.memory == largest([a.memory, b.memory]) == CostRange(15, 20, 30)
    records = 2e4
    assert cost.disk == CostRange(6 + records, 7 + records, 7 + 4 + records)


def test_a_machine_that_is_too_small_is_told():
    cost = RunCost(0, {"a": StageCost(CostRange(1, 1, 1), CostRange(1e9, 2e9, 3e9), CostRange(1e6, 1e6, 1e6))})
    assert lacking(cost, 4 * 10**9, 10**9, " at x") == []
    assert lacking(cost, int(2.5e9), 10**9, " at x") == ["memory: the run may need 3 GB, 2.5 GB are free"]
    (one, other) = lacking(cost, 10**9, 1000, " at x")
    assert one == "memory: the run needs 3 GB, 1 GB are free"
    assert other == f"disk: the run needs {size(1e6 + 2e4)}, 1.0 kB are free at x"


def test_other_programs_slow_it_down(monkeypatch, capsys, tmp_path):
    stage = StageCost(CostRange(600, 600, 600), CostRange(1, 1, 1), CostRange(1, 1, 1))
    cost = RunCost(0, {"search": stage}, share=0.25)
    monkeypatch.setattr(command, "cost_of_run", lambda request: cost)
    assert main(["plan", f"out={tmp_path}"]) == 0
    assert "25% of a core. As long as that stays so, the whole takes 40 min" in " ".join(
        capsys.readouterr().out.split()
    )
    monkeypatch.setattr(command, "cost_of_run", lambda request: replace(cost, share=0.95))
    assert main(["plan", f"out={tmp_path}"]) == 0
    assert "Other programs" not in capsys.readouterr().out
