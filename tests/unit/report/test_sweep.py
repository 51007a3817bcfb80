"""The table over the jobs of a multirun."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from dsrna.errors import CheckpointError
from dsrna.files import write_json
from dsrna.json_files import read_json
from dsrna.report import sweep_table, write_sweep_report
from dsrna.report.sweep import SweepRow
from dsrna.report.sweep_means import Spread, means_over_seeds
from dsrna.testing.evaluations import attack_record
from dsrna.testing.run_folders import build_run_folder

SHARES = {"FGSM": 1.08, "PGD-20": 1, "PGD-100": 0.99, "C&W": 0.985, "AutoAttack": 0.96}
"""Of the accuracy under PGD-20: what the made-up runs have under each attack."""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    jobs = [("none", 0), ("none", 1), ("jacobian", 0)]
    for number, (metric, seed) in enumerate(jobs):
        overrides = [f"metric={metric}", f"seed={seed}", "search.epochs=3"]
        build_run_folder(tmp_path / str(number), ("evaluate",), overrides=overrides, robust_accuracy=0.5 + 0.1 * number)
    failed = build_run_folder(tmp_path / "10", ("search", "retrain"), overrides=["metric=jacobian", "+x=<i>"], epochs=1)
    failed.set_stage("retrain", "failed")
    (tmp_path / "notes").mkdir()
    return tmp_path


def test_rows_say_what_differs_and_what_came_out(sweep: Path) -> None:
    rows = sweep_table([sweep / "0", sweep / "2"])
    assert [row.differs for row in rows] == [{"metric": "none"}, {"metric": "jacobian"}]
    assert rows[1] == SweepRow(
        job="2",
        differs={"metric": "jacobian"},
        seed="3",
        threat="\u2113\u221e, eps 0.1",
        numbers={"clean": 0.9722} | {label: pytest.approx(0.7 * share) for label, share in SHARES.items()},
        parameters=123_456,
        published={},
        rehearsal=False,
        state="done",
        report=None,
    )


@pytest.mark.slow
def test_a_key_that_only_some_jobs_have_differs(sweep: Path) -> None:
    rows = sweep_table([sweep / "0", sweep / "10"])
    assert rows[0].differs == {"metric": "none", "seed": "0", "search.epochs": "3"}
    assert rows[1].differs == {"metric": "jacobian", "x": "<i>"}
    assert (rows[1].numbers, rows[1].parameters, rows[1].state) == ({}, None, "retrain failed")


@pytest.mark.slow
def test_jobs_that_are_alike_differ_in_nothing(sweep: Path) -> None:
    assert [row.differs for row in sweep_table([sweep / "0", sweep / "0"])] == [{}, {}]


@pytest.mark.slow
def test_the_written_table_has_one_row_a_job_in_order(sweep: Path) -> None:
    (sweep / "1" / "report.html").write_text("")
    page = write_sweep_report(sweep)
    with (sweep / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["job"] for row in rows] == ["0", "1", "2", "10"]
    assert [row["PGD-20"] for row in rows] == ["0.5", "0.6", "0.7", ""]
    assert [row["state"] for row in rows] == ["done", "done", "done", "retrain failed"]
    assert rows[3]["x"] == "<i>"

    text = page.read_text()
    assert re.findall(r'<th scope="row">(?:<a [^>]*>)?(\w+)', text) == ["0", "1", "2", "10"]
    assert '<a href="1/report.html">1</a>' in text
    assert text.count("<a ") == 1
    assert "70.0\u202f%" in text
    assert "123,456" in text
    assert "&lt;i&gt;" in text
    assert "<i>" not in text


@pytest.mark.slow
def test_published_numbers_are_columns(sweep: Path) -> None:
    pgd = {"label": "pgd 8/255", "metric": "pgd", "training": "adversarial training", "benchmark": "NAS-RobBench-201"}
    numbers = {"eps": 8 / 255, "accuracy": 0.4567, "rank": 1234, "regret": 0.0244, "headline": True}
    clean = pgd | numbers | {"metric": "clean", "label": "clean", "headline": False}
    document = {
        "schema": "dsrna.verdict",
        "version": 1,
        "searched_on": "cifar10",
        "dataset": "cifar10",
        "rows": [clean, pgd | numbers],
    }
    write_json(sweep / "1" / "verdict.json", document)
    text = write_sweep_report(sweep).read_text()
    for shown in ("published pgd 8/255, adversarial training", "45.67\u202f%", "1,234", "2.44\u202f%"):
        assert shown in text
    with (sweep / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name, expected in (("accuracy", "0.4567"), ("rank", "1234"), ("regret", "0.0244")):
        assert [row[f"pgd 8/255, adversarial training, {name}"] for row in rows] == ["", expected, "", ""]


def test_the_last_of_repeated_overrides_counts(tmp_path: Path) -> None:
    for job, overrides in {"a": ["seed=0", "seed=1", "~logger"], "b": ["seed=1"]}.items():
        build_run_folder(tmp_path / job, ("evaluate",), overrides=overrides)
    assert [row.differs for row in sweep_table([tmp_path / "a", tmp_path / "b"])] == [{"logger": "removed"}, {}]


def test_a_folder_without_jobs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="multirun"):
        write_sweep_report(tmp_path)


@pytest.mark.slow
def test_a_folder_that_is_no_job_is_refused(sweep: Path) -> None:
    with pytest.raises(CheckpointError, match="notes"):
        sweep_table([sweep / "0", sweep / "notes"])


def with_seed(folder, seed, **changes):
    """A run folder that says it had that seed; ``changes`` are of its clean accuracy and objective."""
    text = folder.config_yaml.read_text().replace("seed: 3", f"seed: {seed}")
    folder.config_yaml.write_text(text)
    if "objective" in changes:
        objective = {"name": "retrain/val/acc_adv", "value": changes["objective"]}
        write_json(folder.run_json, folder.read_run() | {"objective": objective})


def test_whatever_attacks_were_run_are_columns_and_those_on_fewer_images_say_so(tmp_path: Path) -> None:
    folder = build_run_folder(tmp_path / "0", ("evaluate",))
    evaluation = read_json(folder.evaluation_json)
    records = [attack_record("mine", "Mine <&>", 0.25), attack_record("square", "Square", 0.5, images=30)]
    records.append(attack_record("mine", "Mine <&>", 0.125, eps=0.21))
    evaluation["networks"]["retrain"]["result"]["records"] = records
    write_json(folder.evaluation_json, evaluation)
    (row,) = sweep_table([folder.path])
    assert row.numbers == {
        "clean": 0.9722, "Mine <&>": 0.25, "Square, first 30 images": 0.5, "Mine <&>, \u2113\u221e, eps 0.21": 0.125
    }  # fmt: skip
    text = write_sweep_report(tmp_path).read_text()
    assert "Mine &lt;&amp;&gt;</th>" in text
    assert "AutoAttack" not in text


@pytest.mark.slow
def test_means_over_seeds_of_otherwise_equal_settings(tmp_path: Path) -> None:
    accuracies = {"none": [0.5, 0.6, 0.64], "jacobian": [0.7]}
    for metric, values in accuracies.items():
        for seed, value in enumerate(values):
            given = [f"metric={metric}", f"seed={seed}"]
            folder = build_run_folder(
                tmp_path / f"{metric}{seed}", ("evaluate",), overrides=given, robust_accuracy=value
            )
            with_seed(folder, seed, objective=value / 2)
    again = build_run_folder(
        tmp_path / "none9", ("evaluate",), overrides=["metric=none", "seed=2"], robust_accuracy=0.1
    )
    with_seed(again, 2)  # a second run of a seed is no second sample
    jacobian, none = means_over_seeds(sweep_table(sorted(path for path in tmp_path.iterdir())))
    assert (none.settings, none.seeds) == ({"metric": "none"}, 3)
    assert none.numbers["PGD-20"].mean == pytest.approx(0.58)
    assert none.numbers["PGD-20"].deviation == pytest.approx(np.std([0.5, 0.6, 0.64], ddof=1))
    assert none.numbers["objective retrain/val/acc_adv"].mean == pytest.approx(0.29)
    assert jacobian.numbers["PGD-20"] == Spread(0.7, None, 1)
    text = write_sweep_report(tmp_path).read_text()
    assert "58.0\u202f% \u00b1 7.2\u202f%" in text
    with (tmp_path / "sweep_means.csv").open(newline="") as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    assert float(rows["none"]["PGD-20, sd"]) == pytest.approx(0.0721, abs=1e-4)
    assert (rows["jacobian"]["PGD-20, sd"], rows["jacobian"]["seeds"]) == ("", "1")


def test_other_threats_are_no_seeds_of_one_setting(tmp_path: Path) -> None:
    for seed, eps in enumerate((0.1, 0.1, 0.2)):
        folder = build_run_folder(tmp_path / str(seed), ("evaluate",), overrides=[f"seed={seed}"])
        with_seed(folder, seed)
        write_json(folder.evaluation_json, read_json(folder.evaluation_json) | {"threat": {"norm": "linf", "eps": eps}})
    assert [row.seeds for row in means_over_seeds(sweep_table([tmp_path / str(seed) for seed in range(3)]))] == [2, 1]
    assert '<th scope="col">threat</th>' in write_sweep_report(tmp_path).read_text()


def test_without_two_seeds_there_are_no_means(sweep: Path) -> None:
    assert means_over_seeds(sweep_table([sweep / "0", sweep / "2"])) == []
    assert "Means over seeds" not in write_sweep_report(sweep).read_text()


def test_rehearsals_are_marked(tmp_path: Path) -> None:
    for seed in (0, 1):
        with_seed(
            build_run_folder(tmp_path / str(seed), ("evaluate",), overrides=[f"seed={seed}"], rehearsal=True), seed
        )
    rows = sweep_table([tmp_path / "0", tmp_path / "1"])
    assert all(row.rehearsal for row in (*rows, *means_over_seeds(rows)))
    text = write_sweep_report(tmp_path).read_text()
    assert text.count("<small>rehearsal</small>") == 3
    assert "<b>Rehearsal.</b>" in text
    with (tmp_path / "sweep.csv").open(newline="") as file:
        assert [row["rehearsal"] for row in csv.DictReader(file)] == ["yes", "yes"]
