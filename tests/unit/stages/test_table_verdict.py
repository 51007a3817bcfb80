"""The verdict of the published tables on a run: right numbers on file and page, and no failure without tables."""

import json
import logging
import sys
import types

import numpy as np
import pytest

from dsrna.benchmarks.nas_robbench_201 import FILE_NAME
from dsrna.config.settings import AugmentationSettings, DataSettings
from dsrna.files import write_json
from dsrna.report import write_report
from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec
from dsrna.spaces.nasbench201.index import isomorphs, string_at
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.stages.summary import show_result
from dsrna.stages.verdict import write_verdict
from dsrna.testing.run_folders import example_genotype

INDEX = 1462
CLASSES = np.unique(isomorphs())
PLACE = int(np.flatnonzero(isomorphs()[INDEX] == CLASSES)[0])
RANK = f"{len(CLASSES) - PLACE:,} of 6,466"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = RunFolder.create(
        tmp_path / "run", kind="search", fingerprint="0", config_text="name: x\n", overrides=[], stages=["search"],
        device="cpu",
    )  # fmt: skip
    genotype_codec.save(Nasbench201Space().genotype(INDEX), folder.genotype_json)
    return folder


def data(root, loader="torchvision_sets.load_cifar10"):
    return DataSettings(
        source={"_target_": f"dsrna.data.{loader}"}, root=str(root), download=False, validation_fraction=0.1,
        train_limit=None, test_limit=None, augmentation=AugmentationSettings(crop_padding=0, horizontal_flip=False),
    )  # fmt: skip


def write_adversarial_table(root, dataset="cifar10"):
    """Accuracies that rise with the index."""
    values = zip(CLASSES, np.linspace(0.1, 0.9, len(CLASSES)), strict=True)
    entries = {str(i): {key: {"threeseed": v} for key in ("val_acc", "val_pgd_8.0_acc")} for i, v in values}
    (root / FILE_NAME).write_text(json.dumps({dataset: entries}))


def write_standard_table(root):
    """Accuracies that fall with the index."""
    folder = root / "robustness-data" / "cifar10"
    folder.mkdir(parents=True)
    (folder.parent / "meta.json").write_text(json.dumps({"ids": {}, "epsilons": {"pgd@Linf": [1.0, 2.0]}}))
    entries = {str(i): [v, v / 2] for i, v in zip(CLASSES, np.linspace(0.4, 0.2, len(CLASSES)), strict=True)}
    (folder / "pgd@Linf_accuracy.json").write_text(json.dumps({"cifar10": {"pgd@Linf": {"accuracy": entries}}}))
    return folder


def rows_of(run):
    return {(row["training"].split()[0], row["label"]): row for row in json.loads(run.verdict_json.read_text())["rows"]}


@pytest.mark.slow
def test_accuracy_rank_and_regret_on_file_page_and_console(run, tmp_path, capsys, caplog):
    write_adversarial_table(tmp_path)
    write_standard_table(tmp_path)
    with caplog.at_level(logging.INFO, logger="dsrna"):
        assert write_verdict(run, data(tmp_path))
    assert len(caplog.records) == 2 + 4  # one line a table, the pair of the architecture and of three marks
    rows = rows_of(run)
    step = 0.8 / (len(CLASSES) - 1)
    adversarial, standard = rows["adversarial", "pgd 8/255"], rows["standard", "pgd 2/255"]
    assert adversarial["accuracy"] == pytest.approx(0.1 + PLACE * step)
    assert adversarial["rank"] == len(CLASSES) - PLACE
    assert adversarial["regret"] == pytest.approx(0.9 - adversarial["accuracy"])
    assert standard["accuracy"] == pytest.approx((0.4 - PLACE * step / 4) / 2)
    assert standard["rank"] == PLACE + 1
    document = json.loads(run.verdict_json.read_text())
    assert (document["index"], document["architecture"]) == (INDEX, string_at(INDEX))

    page = write_report(run.path).read_text()
    show_result(run)
    console = capsys.readouterr().out
    for text in (page, console):
        assert RANK in text
        assert f"{PLACE + 1:,} of 6,466" in text
        assert f"{100 * adversarial['regret']:.2f}" in text
        assert "other images" not in text
    assert string_at(INDEX) in page
    assert "pgd 2/255" in page  # folded away
    assert "pgd 2/255" not in console


@pytest.mark.slow
def test_the_pair_stands_beside_its_marks(run, tmp_path, capsys, caplog):
    write_adversarial_table(tmp_path)
    write_standard_table(tmp_path)
    genotype_codec.save(Nasbench201Space().genotype(9930), run.genotype_json)  # 333s33
    assert write_verdict(run, data(tmp_path))
    marks = {mark["name"]: mark["values"] for mark in json.loads(run.verdict_json.read_text())["pair"]["marks"]}
    places = np.searchsorted(CLASSES, isomorphs()[[9930, 1462]])
    expected = [(0.1 + 0.8 * p / 6465, 0.4 - 0.2 * p / 6465) for p in places]
    assert marks["the derived architecture"] == marks["333s33"] == pytest.approx(expected[0])
    assert marks["333333"] == pytest.approx(expected[1])
    random = marks["mean of 300 random cells"]
    assert random == pytest.approx((0.5, 0.3), abs=0.05), "accuracies are uniform over the classes"
    page = write_report(run.path).read_text()
    show_result(run)
    console = capsys.readouterr().out
    for value in (*marks["333333"], *random):
        assert f"{100 * value:.2f}" in page
        assert f"{100 * value:.2f}" in console


@pytest.mark.slow
def test_a_pair_that_is_half_known_says_so(run, tmp_path):
    write_adversarial_table(tmp_path)
    assert write_verdict(run, data(tmp_path))
    marks = json.loads(run.verdict_json.read_text())["pair"]["marks"]
    assert all(mark["values"][0] is not None and mark["values"][1] is None for mark in marks)
    assert write_report(run.path).read_text().count("not known") == 4
    document = json.loads(run.verdict_json.read_text())
    del document["pair"]  # of an older dsrna
    write_json(run.verdict_json, document)
    assert "needs no search" not in write_report(run.path).read_text()
    assert write_verdict(run, data(tmp_path)), "it is added"


@pytest.mark.slow
def test_other_images_are_judged_by_cifar10_and_told_so(run, tmp_path, capsys):
    write_adversarial_table(tmp_path)
    assert write_verdict(run, data(tmp_path, "digits.load_digits"))
    assert "CIFAR-10 (the search saw other images: digits)" in write_report(run.path).read_text()
    show_result(run)
    assert "the search saw other images: digits" in capsys.readouterr().out


@pytest.mark.slow
def test_a_table_that_is_found_later_is_added(run, tmp_path, caplog):
    write_adversarial_table(tmp_path)
    assert write_verdict(run, data(tmp_path))
    assert not write_verdict(run, data(tmp_path)), "nothing new"
    assert {training for training, _ in rows_of(run)} == {"adversarial"}
    assert "robustness-data" in write_report(run.path).read_text()  # named as left out
    write_standard_table(tmp_path)
    assert write_verdict(run, data(tmp_path))
    assert {training for training, _ in rows_of(run)} == {"adversarial", "standard"}
    (tmp_path / FILE_NAME).unlink()
    assert not write_verdict(run, data(tmp_path)), "what was known stays known"
    assert {training for training, _ in rows_of(run)} == {"adversarial", "standard"}


def test_missing_tables_are_one_log_line(run, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="dsrna"):
        assert not write_verdict(run, data(tmp_path))
    (record,) = caplog.records
    for name in (FILE_NAME, "meta.json", "resume=auto"):
        assert name in record.getMessage()
    assert not run.verdict_json.exists()
    assert write_report(run.path)


@pytest.mark.parametrize("damage", ["truncated", "of another data set", "unreadable"])
def test_damaged_tables_break_no_search(run, tmp_path, caplog, damage):
    write_adversarial_table(tmp_path, "cifar100" if damage == "of another data set" else "cifar10")
    standard = write_standard_table(tmp_path) / "pgd@Linf_accuracy.json"
    if damage == "truncated":
        for path in (tmp_path / FILE_NAME, standard):
            path.write_bytes(path.read_bytes()[:-100])
    elif damage == "unreadable":
        for path in (tmp_path / FILE_NAME, standard):
            path.unlink()
            path.mkdir()
    else:
        standard.unlink()
    with caplog.at_level(logging.INFO, logger="dsrna"):
        assert not write_verdict(run, data(tmp_path))
    (record,) = caplog.records
    told = {"truncated": "truncated", "of another data set": "no results on cifar10", "unreadable": "found nothing"}
    assert told[damage] in record.getMessage()
    assert not run.verdict_json.exists()


def test_other_spaces_have_no_verdict(tmp_path, run):
    write_adversarial_table(tmp_path)
    write_json(run.genotype_json, example_genotype())
    assert not write_verdict(run, data(tmp_path))


def load_cifar10():
    """A user's own loader, of a name that one of ours has."""


@pytest.mark.slow
def test_a_loader_of_a_user_s_is_not_taken_for_one_of_ours(run, tmp_path, monkeypatch):
    write_adversarial_table(tmp_path)
    monkeypatch.setitem(sys.modules, "mine", types.SimpleNamespace(load_cifar10=load_cifar10))
    monkeypatch.setattr(load_cifar10, "__module__", "mine")
    own = data(tmp_path).model_copy(update={"source": {"_target_": "mine.load_cifar10"}})
    assert write_verdict(run, own)
    assert run.read_verdict()["searched_on"] == "mine.load_cifar10"
