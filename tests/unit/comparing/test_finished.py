"""Finished runs side by side, and the index of a folder."""

import re
import sys
import time

import pytest

from dsrna.compare import compare_folders
from dsrna.comparing import evaluated
from dsrna.comparing.finished import results_of
from dsrna.comparing.table import table_of
from dsrna.errors import CheckpointError, ConfigError
from dsrna.files import write_json, write_text
from dsrna.report.index import write_index
from dsrna.spaces import genotype_codec
from dsrna.spaces.genotype_source import read_genotype
from dsrna.testing.run_folders import CONFIG_TEXT, build_run_folder
from dsrna.training.trained_network import NetworkDescription, build_network, save_network

SIZES = {"cells": 2, "channels": 2, "auxiliary": False, "stem": "cifar", "mean": [0.5], "std": [0.5]}


@pytest.fixture(autouse=True)
def _no_clock(monkeypatch):
    monkeypatch.setattr(evaluated, "latency", lambda network, shape, size, device: float(size))


def finished(path, source, seed, robust, overrides):
    """An evaluated run whose one attack left the first so many of 100 images standing."""
    folder = build_run_folder(path, overrides=overrides, parts=("retrain", "evaluate"))
    write_text(folder.config_yaml, CONFIG_TEXT.replace("seed: 3", f"seed: {seed}").replace("digits_jacobian", "net"))
    description = NetworkDescription(genotype_codec.to_json(read_genotype(source)), [1, 8, 8], 10, SIZES)
    save_network(folder.best_checkpoint("retrain"), description, build_network(description).state_dict(), "t", {})
    evaluation = folder.read_evaluation()
    del evaluation["networks"]["baseline"]
    result, threat = evaluation["networks"]["retrain"]["result"], evaluation["threat"]
    numbers = {"attack": "pgd20", "label": "PGD-20", "accuracy": robust / 100, "images": 100} | threat
    result["records"] = [result["records"][0] | numbers]
    result["clean"] |= {"accuracy": 0.9, "images": 100, "attack": "clean"}
    for name, right in (("clean", 90), (f"pgd20_{threat['norm']}_{threat['eps']:.6g}", robust)):
        outcomes = "1" * right + "0" * (100 - right)
        path = folder.evaluation_dir / "retrain" / f"{name}.json"
        write_json(path, {"outcomes": outcomes, "data": "digits", "images": 100})
    write_json(folder.evaluation_json, evaluation)
    return folder.path


@pytest.fixture
def runs(tmp_path):
    """Two seeds each of a cell trained in two ways."""
    places = [("a", "DARTS_V2", 0, 50, "objective=pgd"), ("b", "DARTS_V2", 1, 54, "objective=pgd"),
              ("c", "DARTS_V2", 0, 40, "objective=trades"), ("d", "DARTS_V2", 1, 41, "objective=trades")]  # fmt: skip
    return [
        finished(tmp_path / "runs" / name, source, seed, robust, [override, f"seed={seed}"])
        for name, source, seed, robust, override in places
    ]


@pytest.mark.slow
def test_runs_that_are_equal_but_for_their_seeds_are_one_row(runs):
    table = table_of(results_of([runs[0].parent]))
    pgd, trades = table.rows
    assert (pgd.row.name, trades.row.name) == ("net objective=pgd", "net objective=trades")
    assert (pgd.robust.mean, pgd.robust.networks, pgd.missing) == (pytest.approx(0.52), 2, 0)
    assert trades.robust.deviation == pytest.approx(0.005 * 2**0.5)
    assert trades.test.difference.value == pytest.approx((0.40 - 0.50 + 0.41 - 0.54) / 2)
    assert trades.latency == {"1": 1.0, "128": 128.0}
    described = build_network(NetworkDescription(
        genotype_codec.to_json(read_genotype("DARTS_V2")), [1, 8, 8], 10, SIZES
    ))  # fmt: skip
    assert pgd.parameters == sum(one.numel() for one in described.parameters())


@pytest.mark.slow
def test_the_command_writes_the_same_pages(runs, tmp_path, capsys):
    compare_folders([*map(str, runs), "--reference", "net objective=trades", "--out", str(tmp_path / "compared")])
    assert str(tmp_path / "compared" / "table.html") in capsys.readouterr().out
    assert "net objective=pgd" in (tmp_path / "compared" / "table.csv").read_text()


def test_what_is_typed_first_tells_folders_from_a_plan(monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr("dsrna.compare.compare_folders", lambda words: called.append(list(words)))
    monkeypatch.setattr("dsrna.compare.main_of", lambda name: called.append(name))
    monkeypatch.setattr("sys.argv", ["compare"])
    for words in (["runs/a", "--reference", "b"], ["--config-dir", str(tmp_path), "+comparison=a"], ["rows=[]"], []):
        sys.modules["dsrna.compare"].main(words)
    assert called == [["runs/a", "--reference", "b"], "compare", "compare", "compare"]


def test_a_folder_that_isnt_there_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"got .*nowhere, which is none"):
        results_of([tmp_path / "nowhere"])


@pytest.mark.slow
def test_what_isnt_comparable_is_refused(runs, tmp_path):
    folder = runs[3]
    evaluation = (folder / "evaluation.json").read_text()
    (folder / "evaluation.json").write_text(
        re.sub(r'("threat": {\s*"norm": "linf",\s*"eps": )[\d.]+', r"\g<1>0.3", evaluation)
    )
    with pytest.raises(ConfigError, match="same threat models, got 2"):
        results_of(runs)
    with pytest.raises(ConfigError, match="Unknown row `net objective=pdg`"):
        results_of(runs[:3], "net objective=pdg")
    (tmp_path / "none").mkdir()
    with pytest.raises(CheckpointError, match="Expected evaluated runs"):
        results_of([tmp_path / "none"])


@pytest.mark.slow
def test_the_index_has_every_run_and_says_which_cannot_be_read(runs):
    folder = runs[0].parent
    (folder / "sweep").mkdir()
    build_run_folder(folder / "sweep" / "0", parts=("search",))
    build_run_folder(folder / "damaged").run_json.write_text("{")
    (folder / "other").mkdir()
    page = write_index(folder).read_text()
    rows = re.findall(r"<tr>(<th scope=\"row\">.*?)</tr>", page, re.DOTALL)
    assert len(rows) == 6
    assert sum("unreadable" in row for row in rows) == 1
    (row,) = [row for row in rows if ">b</th>" in row]
    assert 'data-sort="0.54"' in row
    assert 'data-sort="0.9"' in row
    assert any("sweep/0" in row for row in rows)


@pytest.mark.slow
def test_a_thousand_runs_are_listed_in_a_few_seconds(tmp_path):
    one = build_run_folder(tmp_path / "one")
    files = {name: (one.path / name).read_bytes() for name in ("run.json", "evaluation.json")}
    for number in range(300):
        (tmp_path / f"run{number}").mkdir()
        for name, content in files.items():
            (tmp_path / f"run{number}" / name).write_bytes(content)
    began = time.process_time()
    write_index(tmp_path)
    assert time.process_time() - began < 3  # of 300
