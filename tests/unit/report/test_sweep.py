"""The table over the jobs of a multirun."""

import csv
import re
from pathlib import Path

import pytest

from dsrna.errors import CheckpointError
from dsrna.files import write_json
from dsrna.report import sweep_table, write_sweep_report
from dsrna.report.sweep import SweepRow
from dsrna.testing.run_folders import build_run_folder


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
        clean=0.9722,
        pgd20=0.7,
        autoattack=pytest.approx(0.7 * 0.96),
        parameters=123_456,
        published={},
        state="done",
        report=None,
    )


def test_a_key_that_only_some_jobs_have_differs(sweep: Path) -> None:
    rows = sweep_table([sweep / "0", sweep / "10"])
    assert rows[0].differs == {"metric": "none", "seed": "0", "search.epochs": "3"}
    assert rows[1].differs == {"metric": "jacobian", "x": "<i>"}
    assert (rows[1].clean, rows[1].parameters, rows[1].state) == (None, None, "retrain failed")


def test_jobs_that_are_alike_differ_in_nothing(sweep: Path) -> None:
    assert [row.differs for row in sweep_table([sweep / "0", sweep / "0"])] == [{}, {}]


def test_the_written_table_has_one_row_a_job_in_order(sweep: Path) -> None:
    (sweep / "1" / "report.html").write_text("")
    page = write_sweep_report(sweep)
    with (sweep / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["job"] for row in rows] == ["0", "1", "2", "10"]
    assert [row["pgd20"] for row in rows] == ["0.5", "0.6", "0.7", ""]
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


def test_published_numbers_are_columns(sweep: Path) -> None:
    pgd = {"label": "pgd 8/255", "metric": "pgd", "training": "adversarial training", "benchmark": "NAS-RobBench-201"}
    numbers = {"eps": 8 / 255, "accuracy": 0.4567, "rank": 1234, "regret": 0.0244, "headline": True}
    clean = pgd | numbers | {"metric": "clean", "label": "clean", "headline": False}
    document = {"schema": "dsrna.verdict", "version": 1, "dataset": "cifar10", "rows": [clean, pgd | numbers]}
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


def test_a_folder_that_is_no_job_is_refused(sweep: Path) -> None:
    with pytest.raises(CheckpointError, match="notes"):
        sweep_table([sweep / "0", sweep / "notes"])
