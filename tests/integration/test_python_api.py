"""dsrna as a library: the same runs as by the commands, as values, and nothing of the caller's is changed."""

import random
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

import dsrna
from dsrna.json_files import read_json
from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec

pytestmark = pytest.mark.slow
TINY = [
    "trainer=debug",
    "trainer.limits.batches=1",
    "space.nodes=1",
    "trainer.limits.test_images=4",
    "evaluate.eps_curve=[0.1]",
    "retrain.selection_steps=1",
    "search.random_cells=0",
    "trainer.progress=off",
]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A run of all stages, and what the caller's generators would give next, before and after."""
    out = tmp_path_factory.mktemp("runs")
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    before = torch.rand(1), np.random.rand(), random.random()
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    run = dsrna.search(None, [*TINY, f"out={out}"])
    return run, before, (torch.rand(1), np.random.rand(), random.random())


@pytest.fixture(scope="module")
def run(found):
    return found[0]


def test_a_run_is_what_the_command_leaves(run, command_line, tmp_path):
    outcome = command_line("search", *TINY, f"out={tmp_path}")
    assert outcome.status == 0, outcome.text
    theirs = RunFolder.open(next(tmp_path.iterdir()))
    assert theirs.path.name.rpartition("_")[2] == run.path.name.rpartition("_")[2], "the fingerprint"
    assert run.genotype == genotype_codec.load(theirs.genotype_json)
    expected = dsrna.load(theirs.best_checkpoint("baseline")).state_dict()
    for name, value in run.network("baseline").state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert run.evaluation["networks"].keys() == read_json(theirs.evaluation_json)["networks"].keys()
    assert run.metrics[0]["stage"] == "search"
    assert run.evidence == read_json(theirs.evidence_json)
    assert run.verdict is None


def test_accuracies_are_those_of_the_evaluation(run):
    entry = run.evaluation["networks"]["baseline"]["result"]
    assert run.accuracies["Clean"]["baseline"] == entry["clean"]["accuracy"]
    assert {label: row["baseline"] for label, row in run.accuracies.items() if label != "Clean"} == {
        record["label"]: record["accuracy"] for record in entry["records"]
    }
    assert set(run.accuracies["PGD-20"]) == {"retrain", "baseline"}


def test_the_report_is_drawn_where_it_is_missing_and_a_notebook_shows_the_pictures(run):
    page = run.report
    assert "PGD-20" in page.read_text()
    page.unlink()
    assert run.report == page
    assert page.is_file()
    shown = run._repr_html_()
    assert "<td>PGD-20</td>" in shown
    assert shown.count("<img ") == len(list((run.path / "plots").glob("*.png"))) > 3


def test_nothing_of_the_callers_is_changed(found):
    _, before, after = found
    assert before == after
    assert not GlobalHydra.instance().is_initialized()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_predictions_are_the_networks(run):
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    network = run.network()
    with torch.no_grad():
        expected = network(images).argmax(1)
    assert torch.equal(dsrna.predict(network, images, batch_size=2), expected)
    assert torch.equal(dsrna.predict(run.path / "retrain" / "best.ckpt", images.double().numpy()), expected)
    pixels = (255 * images).round().to(torch.uint8)
    with torch.no_grad():
        assert torch.equal(dsrna.predict(run, pixels), network(pixels / 255).argmax(1))
    assert dsrna.predict(run, images[:0]).shape == (0,)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (torch.rand(1, 8, 8), r"shape \(N, C, H, W\)"),
        (2 * torch.ones(1, 1, 8, 8), r"values in \[0, 1\]"),
        (torch.full((1, 1, 8, 8), torch.nan), r"values in \[0, 1\]"),
    ],
)
def test_images_that_are_none_are_refused(run, images, said):
    with pytest.raises(dsrna.DsrnaError, match=said):
        dsrna.predict(run, images)


def test_a_network_in_training_mode_is_refused(run):
    with pytest.raises(dsrna.DsrnaError, match=r"network\.eval\(\)"):
        dsrna.predict(run.network().train(), torch.rand(1, 1, 8, 8))


def test_later_stages_start_from_a_run_and_runs_are_compared(run, tmp_path):
    again = dsrna.evaluate(run, ["trainer=debug", "trainer.limits.test_images=4", f"out={tmp_path}"])
    assert again.accuracies == run.accuracies
    trained = dsrna.retrain(run, [*TINY, "stages=[retrain]", "retrain.baseline=false", f"out={tmp_path}"])
    assert trained.genotype == run.genotype
    with pytest.raises(dsrna.DsrnaError, match=r"of baseline in .*, found those of: retrain"):
        trained.network("baseline")
    one, other = dsrna.compare_runs(run, again.path)
    assert (one["run"], other["run"]) == (run.path.name, again.path.name)
    assert one["PGD-20"] == other["PGD-20"] == run.accuracies["PGD-20"]["retrain"]


def test_proxies_rank_architectures(tables, tmp_path):
    small = ["data=digits", "proxy=[nwot]", "n=3", "images=4", "cells=1", "channels=4", "workers=1", "bootstrap=2"]
    rest = ["benchmark.eps=null", f"data.root={tables}", "progress=off", f"out={tmp_path}"]
    ranking = dsrna.rank([*small, *rest])
    assert len(ranking.scores) == 3
    with pytest.raises(dsrna.DsrnaError, match=r"found none: dsrna\.retrain trains one"):
        ranking.network()


def test_what_cannot_be_run_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(dsrna.DsrnaError, match="Did you mean `cifar10_jacobian`"):
        dsrna.search("cifar10_jacobain", [f"out={tmp_path}"])
    with pytest.raises(dsrna.DsrnaError, match="seed"):
        dsrna.search(None, ["seed=0,1", f"out={tmp_path}"])
    assert not list(tmp_path.iterdir())


def test_ctrl_c_leaves_a_run_to_go_on_with(tmp_path, monkeypatch):
    overrides = [*TINY, "stages=[search,retrain]", "retrain.baseline=false", f"out={tmp_path}"]

    def interrupted(job):
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("dsrna.stages.run.retrain", interrupted)
        before = torch.get_rng_state()
        with pytest.raises(KeyboardInterrupt):
            dsrna.search(None, overrides)
        assert torch.equal(torch.get_rng_state(), before)
    (folder,) = tmp_path.iterdir()
    assert read_json(folder / "run.json")["stages"]["retrain"]["state"] == "interrupted"
    assert dsrna.search(None, [*overrides, "resume=auto"]).path == folder
    assert RunFolder.open(folder).is_complete


def test_the_module_of_a_command_can_be_called_too():
    """Python puts a module in the place of the function when somebody imports it."""
    code = "import dsrna.rank; dsrna.rank(['proxy=[none_such]'])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Unknown proxy `none_such`" in ended.stderr
    assert "dsrna.errors.ConfigError" in ended.stderr


def test_importing_it_takes_no_time():
    code = "import dsrna, sys; assert not {'torch', 'hydra', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
