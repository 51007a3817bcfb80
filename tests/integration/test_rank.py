"""`python -m dsrna.rank` on small networks, made-up tables and scikit-learn's digits."""

import csv
import os
import re
import shutil
import signal

import pytest
from scipy.stats import kendalltau, spearmanr

from dsrna.__main__ import main
from dsrna.files import write_json
from dsrna.ranking import run as ranking
from dsrna.run_folder import RunFolder
from dsrna.spaces.nasbench201.index import string_at
from dsrna.testing.made_up_tables import share
from tests.processes import apart
from tests.thorough import thorough

pytestmark = pytest.mark.usefixtures("own_cache")
PROXIES = "proxy=[croze,nwot,zen,params]"
SMALL = ["data=digits", PROXIES, "n=6", "images=4", "cells=1", "channels=4", "bootstrap=10", "benchmark.eps=null"]


@pytest.fixture(scope="module")
def small(tables):
    return [*SMALL, f"data.root={tables}"]


@pytest.fixture(scope="module")
def finished(completed, small, drawn):
    with drawn():
        return completed("rank", *small, "workers=1")


def unfinished_copy(finished, to, lines, rest=b""):
    """The run folder as a kill leaves it after some architectures and a part of a line."""
    folder = RunFolder(to / finished.path.name)
    shutil.copytree(finished.path, folder.path)
    written = finished.scores_jsonl.read_bytes().splitlines(keepends=True)
    folder.scores_jsonl.write_bytes(b"".join(written[:lines]) + rest)
    for path in (folder.ranking_json, folder.report_html, folder.path / "ranking.csv"):
        path.unlink()
    run = folder.read_run()
    write_json(folder.run_json, run | {"stages": {"score": {"state": "running"}, "report": {"state": "pending"}}})
    return folder


def results(folder):
    return [(folder.path / name).read_bytes() for name in ("scores.jsonl", "ranking.json", "ranking.csv", "ranking.md")]


def test_the_table_is_what_scipy_says_of_the_scores(finished):
    records = finished.read_scores()
    with (finished.path / "ranking.csv").open() as file:
        rows = list(csv.DictReader(file))
    salts = {
        ("NAS-RobBench-201", "clean"): 1, ("NAS-RobBench-201", "pgd 8/255"): 2, ("NAS-RobBench-201", "autoattack"): 3,
        ("the robustness dataset", "clean"): 10, ("the robustness dataset", "pgd 1/255"): 20,
        ("the robustness dataset", "pgd 8/255"): 21,
    }  # fmt: skip
    assert len(rows) == 4 * 6
    for row in rows:
        scores = [record["scores"][row["proxy"]] for record in records]
        accuracies = [share(record["index"], salts[row["benchmark"], row["column"]]) for record in records]
        for name, correlate in (("spearman", spearmanr), ("kendall", kendalltau)):
            expected = correlate(scores, accuracies).statistic
            assert float(row[name] or "nan") == pytest.approx(expected, abs=1e-4, nan_ok=True)
            if row[name]:
                assert float(row[f"{name}_low"]) <= float(row[f"{name}_high"])


def test_the_report_has_both_tables_and_every_picture(finished, drawn):
    page = finished.report_html.read_text()
    for part in ("adversarial training", "standard training", "heat_map", "croze: one point", "dsrna.rank"):
        assert part in page or (finished.plots_dir / f"{part}.png").is_file()
    assert {path.stem for path in finished.plots_dir.iterdir()} == {
        "heat_map", "scatter_croze", "scatter_nwot", "scatter_params", "scatter_zen",
    }  # fmt: skip
    before = finished.report_html.read_bytes()
    for path in (finished.report_html, finished.plots_dir / "heat_map.png", finished.path / "ranking.csv"):
        path.unlink()
    with drawn():
        assert main(["report", str(finished.path)]) == 0
    assert finished.report_html.read_bytes() == before, "it can be drawn again at any time"
    assert (finished.plots_dir / "heat_map.png").is_file()
    assert (finished.path / "ranking.csv").is_file()


def test_the_report_of_an_unfinished_ranking_says_what_is_missing(finished, tmp_path, capsys):
    folder = unfinished_copy(finished, tmp_path, lines=2)
    assert main(["report", str(folder.path)]) == 2
    message = capsys.readouterr().err
    assert "ranking.json" in message
    assert "Traceback" not in message


def test_a_killed_run_goes_on_to_the_same_bytes(finished, command_line, small, tmp_path):
    folder = unfinished_copy(finished, tmp_path, lines=2, rest=b'{"index": 12')
    outcome = command_line("rank", *small, "workers=1", f"out={tmp_path}", "resume=auto")
    assert outcome.status == 0, outcome.text
    assert results(folder) == results(finished)
    again = command_line("rank", *small, f"out={tmp_path}", "resume=auto")
    assert "finished already" in again.text


@pytest.mark.parametrize(("owner", "name", "call"), [(RunFolder, "append_scores", 3), (ranking, "write_ranking", 1)])
def test_sigterm_ends_with_143_and_the_run_goes_on_to_the_same_bytes(
    finished, stopped, small, tmp_path, owner, name, call
):
    folder = stopped("rank", [*small, "workers=1"], tmp_path, owner, name, call)
    assert results(folder) == results(finished)


def test_scores_of_other_architectures_are_refused(finished, command_line, small, tmp_path):
    folder = unfinished_copy(finished, tmp_path, lines=0, rest=finished.scores_jsonl.read_bytes().splitlines(True)[3])
    outcome = command_line("rank", *small, f"out={tmp_path}", "resume=auto")
    assert outcome.status == 2
    assert str(folder.scores_jsonl) in outcome.text


def test_repeats_are_averaged(command_line, finished, small, tmp_path):
    given = [entry for entry in small if not entry.startswith("proxy")]
    outcome = command_line("rank", *given, "proxy=[snip,params]", "repeats=2", "workers=1", f"out={tmp_path}")
    assert outcome.status == 0, outcome.text
    (folder,) = map(RunFolder, tmp_path.iterdir())
    for record, single in zip(folder.read_scores(), finished.read_scores(), strict=True):
        assert record["index"] == single["index"]
        assert record["scores"]["params"] == single["scores"]["params"]


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(finished, command_line, small, tmp_path, monkeypatch):
    context = apart()
    monkeypatch.setattr("dsrna.ranking.scoring.multiprocessing.get_context", lambda kind: context)
    outcome = command_line("rank", *small, "workers=2", f"out={tmp_path}")
    assert outcome.status == 0, outcome.text
    (folder,) = map(RunFolder, tmp_path.iterdir())
    assert results(folder) == results(finished)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "number"), [thorough(1, signal.SIGINT), (2, signal.SIGTERM)])
def test_a_signal_keeps_the_scores_and_says_how_to_go_on(command, small, tmp_path, workers, number):
    given = [entry for entry in small if not entry.startswith("n=")]
    run = command(tmp_path / "runs", *given, "n=300", f"workers={workers}", kind="rank")
    run.wait_for(lambda folder: folder.scores_jsonl.exists() and folder.scores_jsonl.stat().st_size)
    os.kill(run.process.pid, number)
    assert run.end() == 128 + number
    text = run.errors.read_text()
    assert "resume=auto" in text
    assert "Traceback" not in text
    assert run.folder.read_run()["stages"]["score"]["state"] == "interrupted"
    assert 0 < len(run.folder.read_scores()) < 300


ROWS = {
    "unknown proxy": ("proxy=[crose]", "Unknown proxy `crose`|Did you mean `croze`|Choose from: "),
    "no proxy": ("proxy=[]", "at least one proxy|conf: proxy"),
    "misspelt setting of a proxy": ("proxy=[croze] proxy.croze.epss=1", "proxy.croze.epss|Did you mean"),
    "wrong setting of a proxy": ("proxy=[ntk_clean] proxy.ntk_clean.statistic=max", "conf: proxy.ntk_clean.statistic"),
    "eps of a proxy in 0-255 units": ("proxy=[croze_paper] proxy.croze_paper.eps=8", "did you mean 8/255"),
    "score that isn't finite": (
        "proxy=[zen] proxy.zen.alpha=1e-30",
        "Architecture |proxy zen|the score is -inf|conf: proxy.zen",
    ),
    "space without tables": ("space=darts", "tables of the space nasbench201 alone|conf: space"),
    "too many architectures": ("n=7000", "conf: n|isomorphic"),
    "too few architectures": ("n=2", "at least 3|conf: n"),
    "no processes": ("workers=0", "conf: workers|`auto`"),
    "no tables": ("benchmark.root={missing}", "NAS-RobBench-201|Please cite|conf: benchmark.root"),
    "half of the tables": ("benchmark.root={half}", "meta.json|the robustness dataset|conf: benchmark.root"),
    "unknown data set": ("benchmark.dataset=cifar11", "cifar11|conf: benchmark.dataset"),
    "unknown metric": ("benchmark.metrics=[pgdd]", "pgdd|pgd|conf: benchmark.metrics"),
    "eps not in the tables": ("benchmark.eps=[7/255]", "7/255|8/255|conf: benchmark.eps"),
    "eps of the tables in 0-255 units": ("benchmark.eps=[8]", "did you mean 8/255|conf: benchmark.eps"),
    "images that aren't there": ("images=100000", "training split|conf: images"),
    "data that aren't there": ("data=cifar10 data.root={missing} data.download=false", "conf: data.root"),
    "misspelt key": ("imags=3", "`imags`|`images`"),
}


@pytest.mark.parametrize("row", ROWS)
def test_bad_input_gets_one_clear_message(row, refused):
    left = refused("rank", [*SMALL, "workers=1"], *ROWS[row])
    assert not left or row == "score that isn't finite"


def test_the_message_of_a_bad_score_names_the_architecture(command_line, small, tmp_path):
    given = [entry for entry in small if not entry.startswith("proxy")]
    outcome = command_line("rank", *given, "proxy=[zen]", "proxy.zen.alpha=1e-30", "workers=1", f"out={tmp_path}")
    (folder,) = map(RunFolder, tmp_path.iterdir())
    assert folder.read_run()["stages"]["score"]["state"] == "failed"
    index = re.search(r"Architecture (\d+), (\S+), proxy", outcome.text)
    assert string_at(int(index[1])) == index[2]
