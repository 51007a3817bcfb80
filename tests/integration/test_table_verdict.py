"""A search of NAS-Bench-201 alone ends with what the published tables say, also when it was stopped or came before."""

import json

import numpy as np
import pytest

from dsrna.benchmarks.nas_robbench_201 import FILE_NAME
from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec
from dsrna.spaces.nasbench201.index import isomorphs
from dsrna.spaces.nasbench201.space import Nasbench201Space

pytestmark = pytest.mark.slow
SEARCH = [
    *("space=nasbench201", "strategy=darts", "metric=none", "stages=[search]", "trainer=debug"),
    *("trainer.limits.epochs=2", "trainer.limits.batches=4", "trainer.checkpoint_minutes=1e-9"),
    *("search.warmup_epochs=1", "search.cells=1", "search.channels=4", "search.batch_size=16", "data.train_limit=400"),
    "search.implementation=reference",  # the cache is empty: kernels would be built
]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def accuracy(index):
    return round((37 * index + 5) % 9973 / 9973, 6)


def write_table(root):
    entries = {str(i): {"val_pgd_8.0_acc": {"threeseed": accuracy(int(i))}} for i in np.unique(isomorphs())}
    root.mkdir(exist_ok=True)
    (root / FILE_NAME).write_text(json.dumps({"cifar10": entries}))


def check(folder, text):
    index = Nasbench201Space().index(genotype_codec.load(folder.genotype_json))
    expected = accuracy(int(isomorphs()[index]))
    rank = 1 + sum(accuracy(int(i)) > expected for i in np.unique(isomorphs()))
    (row,) = json.loads(folder.verdict_json.read_text())["rows"]
    assert (row["accuracy"], row["rank"]) == (expected, rank)
    for said in (text, folder.report_html.read_text()):
        assert f"{100 * expected:.2f}" in said
        assert f"{rank:,} of 6,466" in said


def test_tables_that_come_after_the_search_are_asked_then(command_line, tmp_path):
    arguments = [*SEARCH, f"data.root={tmp_path / 'tables'}", f"out={tmp_path / 'runs'}"]
    outcome = command_line("search", *arguments)
    assert outcome.status == 0, outcome.text
    (line,) = [line for line in outcome.text.splitlines() if "published accuracies" in line]
    assert f"Get {FILE_NAME} from" in line
    (path,) = (tmp_path / "runs").iterdir()
    folder = RunFolder.open(path)
    assert not folder.verdict_json.exists()
    write_table(tmp_path / "tables")
    again = command_line("search", *arguments, "resume=auto")
    assert again.status == 0, again.text
    check(folder, again.text)


def test_a_killed_search_ends_with_the_verdict_when_resumed(command, command_line, moments, tmp_path):
    write_table(tmp_path / "tables")
    arguments = [*SEARCH, f"data.root={tmp_path / 'tables'}", f"out={tmp_path / 'runs'}"]
    run = command(tmp_path / "runs", *arguments)
    _, moment = moments["in the first epoch of the search"]
    run.wait_for(moment)
    run.process.kill()
    run.end()
    folder = run.folder
    assert not folder.verdict_json.exists()
    outcome = command_line("search", *arguments, "resume=auto")
    assert outcome.status == 0, outcome.text
    check(folder, outcome.text)
