"""A multirun gives one folder a job, and a table over the jobs at the end."""

import csv
import json

import pytest

TINY = ["trainer=debug", "space.nodes=1", "search.batch_size=16", "retrain.baseline=false", "evaluate.eps_curve=[]"]


@pytest.fixture(scope="module")
def swept(command_line, tmp_path_factory):
    out = tmp_path_factory.mktemp("swept")
    typed = ["-m", "metric=none,jacobian", "seed=0,1", *TINY, f"out={out}"]
    return out, typed, command_line("search", *typed)


def table(folder):
    return list(csv.DictReader((folder / "sweep.csv").open()))


@pytest.mark.slow
def test_one_folder_a_job_and_one_row_a_job(swept):
    out, _, outcome = swept
    assert outcome.status == 0, outcome.text
    (folder,) = out.iterdir()
    jobs = [folder / str(number) for number in range(4)]
    genotypes = [json.loads((job / "genotype.json").read_text()) for job in jobs]
    assert [json.loads((job / "run.json").read_text())["stages"]["report"]["state"] for job in jobs] == ["done"] * 4
    typed = [set(json.loads((job / "overrides.yaml").read_text())) for job in jobs]
    for number, expected in enumerate([("none", 0), ("none", 1), ("jacobian", 0), ("jacobian", 1)]):
        assert {f"metric={expected[0]}", f"seed={expected[1]}"} <= typed[number]
    assert len(table(folder)) == 4
    assert (folder / "sweep.html").exists()
    assert all(genotype["space"] == "darts" for genotype in genotypes)


@pytest.mark.slow
def test_a_finished_sweep_is_not_run_again(swept, command_line):
    out, typed, _ = swept
    (folder,) = out.iterdir()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.ckpt")}
    outcome = command_line("search", *typed, "resume=auto")
    assert outcome.status == 0, outcome.text
    assert outcome.text.count("finished already") == 4
    assert list(out.iterdir()) == [folder]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.ckpt")} == before


@pytest.mark.slow
def test_a_failing_job_does_not_stop_the_others(command_line, tmp_path):
    typed = ["-m", "data.train_limit=20,400", "stages=[search]", *TINY, f"out={tmp_path}"]
    outcome = command_line("search", *typed)
    assert outcome.status == 2
    assert "data.train_limit" in outcome.text
    assert "resume=auto" in outcome.text
    (folder,) = tmp_path.iterdir()
    assert (folder / "1" / "genotype.json").exists()
    assert not (folder / "0" / "genotype.json").exists()
