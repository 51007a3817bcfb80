"""Certified trainings beside one another: what is done once, and what the report makes of it."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

from dsrna.json_files import read_json, read_lines
from dsrna.testing.data_roots import write_array_set

FOLDER = Path(__file__).resolve().parents[3] / "experiments" / "certified_training"


@pytest.fixture(scope="module")
def trainings():
    if not FOLDER.is_dir():
        pytest.skip("experiments/ isn't part of the installed package")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        for name in ("report", "trainings"):
            sys.modules.pop(name, None)
        yield import_module("trainings")
        for name in ("report", "trainings"):
            sys.modules.pop(name)


@pytest.mark.slow
def test_a_training_is_done_once_and_written_down_as_its_run_folder_has_it(trainings, tmp_path, monkeypatch):
    write_array_set(tmp_path / "data", "mnist")
    monkeypatch.setenv("DSRNA_DATA", str(tmp_path / "data"))
    overrides = [
        "trainer=debug", "trainer.limits.batches=1", "trainer.limits.test_images=20", "data.download=false",
        "evaluate.verify.engines=[ibp]", "evaluate.verify.images=10",
    ]  # fmt: skip
    monkeypatch.setitem(trainings.NETWORKS, "cnn7", ["model=dsrna:cnn7", "model_arguments={width: 2, hidden: 4}"])
    task = ("cnn7", "sabr 0.1", 0)
    assert trainings.do(task, tmp_path / "out", overrides)
    monkeypatch.setattr(trainings, "trained", lambda *_: pytest.fail("it is done once more"))
    assert trainings.do(task, tmp_path / "out", overrides)
    ((_, line),) = read_lines(tmp_path / "out" / "trainings.jsonl", dict)
    network = read_json(tmp_path / "out" / "cnn7_sabr_0.1_s0" / "evaluation.json")["networks"]["retrain"]
    (proved,) = network["verification"]["curve"]
    assert line["title"] == network["title"] == "certified training (SABR, 0.1)"
    assert (line["clean"], line["certified"]) == (network["result"]["clean"]["accuracy"], proved["certified"])
    assert (line["eps"], line["proved_images"]) == (0.1, 10)


def test_the_report_marks_what_nothing_dominates(trainings, capsys):
    def line(network, training, clean, certified, seed=0):
        about = {"name": f"{network}{training}{seed}", "network": network, "training": training}
        return about | {"clean": clean, "certified": certified, "standing": certified}

    lines = [
        line("a", "ibp", 0.9, 0.8), line("a", "ibp", 0.7, 0.8, 1), line("a", "sabr 0.4", 0.9, 0.7),
        line("a", "pgd", 0.8, 0.7), line("b", "ibp", 0.1, 0.1),
        {"name": "x", "network": "a", "training": "taps", "failed": "NaN"},
    ]  # fmt: skip
    trainings.report(lines, None)
    printed = capsys.readouterr().out
    rows = {tuple(cells[:2]): cells[2:] for cells in map(str.split, printed.replace("│", " ").splitlines()) if cells}
    assert rows[("a", "ibp")] == ["2", "80.0", "%", "80.0", "%", "80.0", "%", "*"]
    assert rows[("a", "sabr")][-1] == "*"
    assert "*" not in rows[("a", "pgd")]
    assert rows[("b", "ibp")][-1] == "*", "networks are looked at apart"
    assert "x failed: NaN" in printed
