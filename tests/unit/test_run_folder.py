"""The run folder: what is written, what is refused, and what survives a killed process."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrna.errors import CheckpointError, ConfigError, NonFiniteError
from dsrna.json_files import read_document
from dsrna.run_folder import RunFolder


def create(path: Path, **changes: object) -> RunFolder:
    settings = {
        "kind": "search",
        "fingerprint": "abc",
        "config_text": "seed: 0\n",
        "overrides": ["seed=0", "name='é: \"x\"'"],
        "stages": ["search", "retrain"],
        "device": "cpu",
    }
    return RunFolder.create(path, **(settings | changes))  # type: ignore[arg-type]


def test_create_writes_what_open_reads(tmp_path: Path) -> None:
    folder = create(tmp_path / "new" / "run", command="python -m dsrna.search seed=0")
    run = RunFolder.open(folder.path).read_run()
    assert (run["schema"], run["version"], run["kind"], run["fingerprint"]) == ("dsrna.run", 1, "search", "abc")
    assert run["command"] == "python -m dsrna.search seed=0"
    assert run["stages"] == {"search": {"state": "pending"}, "retrain": {"state": "pending"}}
    assert folder.config_yaml.read_text() == "seed: 0\n"
    assert folder.read_overrides() == ["seed=0", "name='é: \"x\"'"]


def test_overrides_are_yaml(tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    folder = create(tmp_path)
    assert list(OmegaConf.load(folder.overrides_yaml)) == folder.read_overrides()


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    before = create(tmp_path).run_json.read_bytes()
    with pytest.raises(ConfigError, match=r"holds one.*resume=auto"):
        create(tmp_path, fingerprint="other")
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_folder_that_cannot_be_written_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=re.escape(str(tmp_path / "file" / "run")) + ".*out="):
        create(tmp_path / "file" / "run")


def test_opening_what_is_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no run\.json"):
        RunFolder.open(tmp_path / "missing")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"schema": "dsrna.run", "ver', "truncated"),
        (b"", "truncated"),
        (b"\xff\xfe", "damaged"),
        (b"[1, 2]", "got None version None"),
        (b'{"schema": "dsrna.run", "version": 2}', "got dsrna.run version 2"),
        (b'{"schema": "dsrna.genotype", "version": 1}', "got dsrna.genotype version 1"),
    ],
)
def test_opening_a_damaged_or_foreign_folder(tmp_path: Path, content: bytes, message: str) -> None:
    folder = create(tmp_path)
    folder.run_json.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        RunFolder.open(tmp_path)


def test_reading_a_document_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"evaluation\.json"):
        read_document(tmp_path / "evaluation.json", "dsrna.evaluation", 1)


def test_stages_walk_to_completion(tmp_path: Path) -> None:
    folder = create(tmp_path)
    folder.set_stage("search", "running")
    folder.set_stage("search", "interrupted", seconds=3.0)
    folder.set_stage("search", "done", seconds=12.34567)
    assert not folder.is_complete
    folder.set_stage("retrain", "done")
    assert folder.is_complete
    assert folder.read_run()["stages"] == {"search": {"state": "done", "seconds": 12.346}, "retrain": {"state": "done"}}
    folder.set_stage("baseline", "failed")
    assert not folder.is_complete
    with pytest.raises(ValueError, match="finished"):
        folder.set_stage("search", "finished")  # type: ignore[arg-type]


def test_a_run_without_stages_is_not_complete(tmp_path: Path) -> None:
    assert not create(tmp_path, stages=[]).is_complete


def test_a_stage_change_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = create(tmp_path)

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ConfigError, match="No space left"):
        folder.set_stage("search", "running")
    monkeypatch.undo()
    assert folder.read_run()["stages"]["search"] == {"state": "pending"}
    assert not list(tmp_path.glob(".*part*"))


def test_metrics_come_back_in_order(tmp_path: Path) -> None:
    folder = create(tmp_path)
    assert folder.read_metrics() == []
    records = [{"stage": "search", "step": step, "search/val/loss": 1 / (step + 1)} for step in range(3)]
    for record in records:
        folder.append_metrics(record)
    assert folder.read_metrics() == records


@given(cut=st.integers(min_value=0, max_value=200))
def test_a_process_killed_while_writing_loses_at_most_the_unfinished_line(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    records = [{"stage": "search", "step": step, "x": 0.1 * step} for step in range(4)]
    for record in records:
        folder.append_metrics(record)
    whole = folder.metrics_jsonl.read_bytes()
    kept = whole[: max(0, len(whole) - cut)]
    folder.metrics_jsonl.write_bytes(kept)
    survivors = records[: kept.count(b"\n")]
    assert folder.read_metrics() == survivors
    folder.append_metrics({"stage": "search", "step": 9})
    assert folder.read_metrics() == [*survivors, {"stage": "search", "step": 9}]


def test_a_damaged_line_in_the_middle_is_an_error_with_its_number(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.metrics_jsonl.write_text('{"step": 1}\n{"step": \n{"step": 3}\n')
    with pytest.raises(CheckpointError, match="line 2"):
        folder.read_metrics()


def test_non_finite_metrics_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(NonFiniteError, match=r"search/val/loss.*step 7"):
        folder.append_metrics({"stage": "search", "step": 7, "search/val/loss": float("nan")})
    assert folder.read_metrics() == []


def test_a_resumed_run_ends_with_the_file_of_an_uninterrupted_one(tmp_path: Path) -> None:
    def log(folder: RunFolder, stage: str, steps: range) -> None:
        for step in steps:
            folder.append_metrics({"stage": stage, "step": step, "value": step / 3})

    straight, resumed = RunFolder(tmp_path / "a"), RunFolder(tmp_path / "b")
    for folder in (straight, resumed):
        folder.path.mkdir()
        log(folder, "search", range(1, 6))
    log(straight, "retrain", range(1, 9))
    log(resumed, "retrain", range(1, 7))
    with resumed.metrics_jsonl.open("ab") as file:
        file.write(b'{"stage": "retrain", "st')  # killed here; the checkpoint was taken at step 4
    resumed.truncate_metrics("retrain", 4)
    log(resumed, "retrain", range(5, 9))
    assert resumed.metrics_jsonl.read_bytes() == straight.metrics_jsonl.read_bytes()


def test_truncating_without_metrics_does_nothing(tmp_path: Path) -> None:
    RunFolder(tmp_path).truncate_metrics("search", 0)
    assert not list(tmp_path.iterdir())


def test_every_file_lies_in_the_folder_under_its_documented_name(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    named = {
        folder.run_json: "run.json",
        folder.config_yaml: "config.yaml",
        folder.overrides_yaml: "overrides.yaml",
        folder.metrics_jsonl: "metrics.jsonl",
        folder.genotype_json: "genotype.json",
        folder.architecture_json: "search/architecture.json",
        folder.evidence_json: "search/evidence.json",
        folder.last_checkpoint("search"): "search/last.ckpt",
        folder.last_checkpoint("retrain"): "retrain/last.ckpt",
        folder.best_checkpoint("retrain"): "retrain/best.ckpt",
        folder.evaluation_json: "evaluation.json",
        folder.evaluation_dir: "evaluation",
        folder.plots_dir: "plots",
        folder.report_html: "report.html",
        folder.run_log: "run.log",
    }
    assert {path: str(path.relative_to(tmp_path)) for path in named} == named


def test_run_json_is_plain_json_without_the_callers_types(tmp_path: Path) -> None:
    record = json.loads(create(tmp_path).run_json.read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record["created"])
    assert record["python"].count(".") == 2
