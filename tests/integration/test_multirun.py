"""A multirun: one folder a job, a table over the jobs, and what failed doesn't stop the rest."""

import csv
import json

import numpy as np
import pytest
import torch

from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec
from dsrna.spaces.darts.space import DartsSpace
from dsrna.types import CellWeights

pytestmark = pytest.mark.slow

TINY = [
    "trainer=debug",
    "space.nodes=1",
    "trainer.limits.batches=1",
    "trainer.limits.test_images=4",
    "trainer.limits.attacks=[pgd20]",
    "evaluate.eps_curve=[0.1]",
    "search.random_cells=0",
    "retrain.selection_steps=1",
    "retrain.baseline=false",
]
SWEEP = ["-m", "metric=none,jacobian", "seed=0,1", *TINY, "stages=[search,retrain,evaluate]", "resume=auto"]


@pytest.fixture(scope="module")
def sweep(command_line, tmp_path_factory):
    """(out, sweep folder, outcome) of a finished multirun of four jobs."""
    out = tmp_path_factory.mktemp("sweeps")
    outcome = command_line("search", *SWEEP, f"out={out}")
    (folder,) = out.iterdir()
    return out, folder, outcome


def rows_of(folder):
    with (folder / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_job_has_its_folder_and_its_settings(sweep):
    _, folder, outcome = sweep
    assert outcome.status == 0, outcome.text
    jobs = [RunFolder.open(folder / str(number)) for number in range(4)]
    assert all(job.is_complete for job in jobs)
    given = [[o for o in job.read_overrides() if o.startswith(("metric=", "seed="))] for job in jobs]
    assert given == [[f"metric={m}", f"seed={s}"] for m in ("none", "jacobian") for s in (0, 1)]
    assert len({job.read_run()["fingerprint"] for job in jobs}) == 4
    scores = [any("search/val/score" in record for record in job.read_metrics()) for job in jobs]
    assert scores == [False, False, True, True]


def test_seeds_that_differ_in_nothing_else_have_a_consensus(sweep):
    _, folder, outcome = sweep
    for number, jobs in ((1, "01"), (2, "23")):
        found = genotype_codec.load(folder / f"consensus_{number}.json")
        epochs = [json.loads((folder / job / "search" / "architecture.json").read_text())["epochs"] for job in jobs]
        mean = {
            cell: CellWeights(torch.tensor(np.mean([one[-1]["weights"][cell]["operations"] for one in epochs], axis=0)))
            for cell in epochs[0][-1]["weights"]
        }
        assert found == DartsSpace(nodes=1).derive(mean)
        assert json.loads((folder / f"consensus_{number}.json").read_text())["consensus_of"] == list(jobs)
        assert f"consensus_{number}.json" in outcome.text.replace("\n", "")
    assert "consensus of 2 seeds, metric=jacobian" in outcome.text


def test_the_table_has_a_row_for_every_job(sweep):
    _, folder, outcome = sweep
    rows = rows_of(folder)
    assert [(row["job"], row["metric"], row["seed"], row["state"]) for row in rows] == [
        ("0", "none", "0", "done"), ("1", "none", "1", "done"),
        ("2", "jacobian", "0", "done"), ("3", "jacobian", "1", "done"),
    ]  # fmt: skip
    for row in rows:
        result = json.loads((folder / row["job"] / "evaluation.json").read_text())["networks"]["retrain"]["result"]
        assert float(row["clean"]) == result["clean"]["accuracy"]
        assert float(row["PGD-20"]) == result["records"][0]["accuracy"]
    assert (folder / "sweep.html").is_file()
    assert str(folder / "sweep.html") in outcome.text
    assert len(json.loads((folder / "sweep.json").read_text())["jobs"]) == 4


def test_a_finished_multirun_runs_nothing_again(sweep, command_line):
    out, folder, _ = sweep
    kept = [*folder.glob("*/*/*.ckpt"), *folder.glob("*/*.json*")]
    before = {path: path.stat().st_mtime_ns for path in kept}
    outcome = command_line("search", *SWEEP, f"out={out}")
    assert outcome.status == 0
    assert outcome.text.count("finished already") == 4
    assert list(out.iterdir()) == [folder]
    assert {path: path.stat().st_mtime_ns for path in kept} == before


def test_a_failed_job_stops_no_other_and_alone_runs_again(command_line, tmp_path):
    """Jobs 0 and 1 have too few images, job 2 is right, job 3 diverges."""
    sweep = ["-m", "+experiment=digits_pcdarts", "data.train_limit=15,400", *TINY, "stages=[search]", "resume=auto",
             "search.weights_schedule=null", "search.weights_optimizer.lr=0.05,1e30", f"out={tmp_path}"]  # fmt: skip
    first = command_line("search", *sweep)
    assert first.status == 2
    assert first.text.count("[error]") == 4, "one a failed job, and one for the multirun"
    assert "3 job(s) failed" in first.text
    assert "Traceback" not in first.text
    (folder,) = tmp_path.iterdir()
    states = [
        (row["data.train_limit"], float(row["search.weights_optimizer.lr"]), row["state"]) for row in rows_of(folder)
    ]
    assert states == [
        ("15", 0.05, "search failed"), ("15", 1e30, "search failed"),
        ("400", 0.05, "done"), ("400", 1e30, "search failed"),
    ]  # fmt: skip
    assert "at least 2 images" in (folder / "0" / "run.log").read_text()
    assert "became" in (folder / "3" / "run.log").read_text()
    done = folder / "2" / "search" / "last.ckpt"
    before = done.stat().st_mtime_ns

    again = command_line("search", *sweep)
    assert again.status == 2
    assert again.text.count("finished already") == 1
    assert again.text.count("[error]") == 4
    assert done.stat().st_mtime_ns == before
    assert list(tmp_path.iterdir()) == [folder]
