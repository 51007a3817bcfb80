"""A run that only shows that the whole pipeline runs says so, and so does every run that starts from one."""

import pytest

from dsrna.config.compose import compose
from dsrna.config.validate import validated
from dsrna.files import write_json
from dsrna.json_files import read_json
from dsrna.run_folder import RunFolder
from dsrna.runs.sources import load_splits
from dsrna.stages.inputs import Inputs, read_inputs
from dsrna.testing.run_folders import build_run_folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "expected"),
    [([], False), (["trainer=cpu"], False), (["trainer=debug"], True), (["trainer.limits.batches=2"], True)],
)
def test_any_limit_makes_a_rehearsal(typed, expected):
    assert validated(compose("search", typed)).trainer.limits.any == expected


@pytest.mark.slow
@pytest.mark.parametrize("rehearsal", [True, False])
@pytest.mark.parametrize("source", ["run", "run/genotype.json"])
def test_what_starts_from_a_rehearsal_is_one(tmp_path, source, rehearsal):
    build_run_folder(tmp_path / "run", ("search",), epochs=1, rehearsal=rehearsal)
    settings = validated(compose("retrain", [f"from={tmp_path / source}"]))
    inputs = read_inputs("retrain", settings, load_splits(settings))
    assert inputs.rehearsal == rehearsal
    folder = build_run_folder(tmp_path / "new", ())
    inputs.copy_to(folder)
    assert folder.is_rehearsal == rehearsal
    assert read_json(folder.run_json)["rehearsal"] == rehearsal


@pytest.mark.slow
def test_a_published_genotype_is_no_rehearsal(tmp_path, monkeypatch):
    build_run_folder(tmp_path, (), rehearsal=True)
    monkeypatch.chdir(tmp_path)  # names are not paths
    settings = validated(compose("retrain", ["from=DARTS_V2"]))
    assert not read_inputs("retrain", settings, load_splits(settings)).rehearsal


def test_a_folder_of_an_older_release_is_no_rehearsal(tmp_path):
    folder = build_run_folder(tmp_path, ())
    run = read_json(folder.run_json)
    del run["rehearsal"]
    write_json(folder.run_json, run)
    assert not RunFolder.open(tmp_path).is_rehearsal
    assert Inputs().rehearsal is False
