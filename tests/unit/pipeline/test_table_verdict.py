"""The verdict of the published tables on a run: right numbers on file and page, and no failure without tables."""

import json
import logging

import numpy as np
import pytest

from dsrna.benchmarks.nas_robbench_201 import FILE_NAME
from dsrna.pipeline.summary import show_result
from dsrna.pipeline.table_verdict import judge
from dsrna.report import write_report
from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec
from dsrna.spaces.nasbench201.index import isomorphs
from dsrna.spaces.nasbench201.space import Nasbench201Space

INDEX, TARGET = 1462, "dsrna.data.torchvision_sets.load_cifar10"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = RunFolder.create(
        tmp_path / "run", kind="search", fingerprint="0", config_text="name: x\n", overrides=[], stages=["search"],
        device="cpu",
    )  # fmt: skip
    genotype_codec.save(Nasbench201Space().genotype(INDEX), folder.genotype_json)
    return folder


def test_accuracy_rank_and_regret_on_file_page_and_console(run, tmp_path, capsys):
    classes = np.unique(isomorphs())
    accuracies = np.linspace(0.1, 0.9, len(classes))
    entries = {str(i): {"val_acc": {"threeseed": value}} for i, value in zip(classes, accuracies, strict=True)}
    (tmp_path / FILE_NAME).write_text(json.dumps({"cifar10": entries}))
    judge(run, str(tmp_path), TARGET)
    (row,) = json.loads(run.verdict_json.read_text())["rows"]
    place = int(np.flatnonzero(classes == isomorphs()[INDEX])[0])
    assert row["accuracy"] == pytest.approx(accuracies[place])
    assert row["rank"] == len(classes) - place
    assert row["regret"] == pytest.approx(0.9 - accuracies[place])
    expected = f"{len(classes) - place} of {len(classes)}"
    assert expected in write_report(run.path).read_text()
    show_result(run)
    assert expected in capsys.readouterr().out


def test_missing_tables_are_one_log_line(run, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="dsrna"):
        judge(run, str(tmp_path), TARGET)
    (record,) = caplog.records
    assert FILE_NAME in record.getMessage()
    assert "meta.json" in record.getMessage()
    assert not run.verdict_json.exists()
