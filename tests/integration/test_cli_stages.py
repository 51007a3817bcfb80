"""Later stages by themselves: from a run folder, a genotype file, a published name, a checkpoint."""

import pytest
import torch

from dsrna.json_files import read_json
from dsrna.nn.edges.compiled.library import cpp_compiler
from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec
from dsrna.spaces.darts.published import PUBLISHED, published
from dsrna.training.trained_network import load_network

pytestmark = pytest.mark.slow

TINY = [
    "trainer=debug",
    "trainer.limits.batches=1",
    "trainer.limits.test_images=6",
    "evaluate.eps_curve=[0.1]",
    "retrain.selection_steps=1",
    "search.random_cells=0",
]


@pytest.fixture(scope="module")
def finished(command_line, tmp_path_factory, drawn):
    """A run of all stages, with settings that are not the defaults."""
    out = tmp_path_factory.mktemp("finished")
    settings = ["threat.eps=0.2", "data.train_limit=600", "objective=fast", "space.nodes=1"]
    with drawn():
        outcome = command_line("search", *TINY, *settings, f"out={out}")
    assert outcome.status == 0, outcome.text
    (path,) = out.iterdir()
    return RunFolder.open(path)


@pytest.fixture
def run(command_line, tmp_path):
    """(kind, *overrides) -> the run folder of a run that ended well."""

    def start(kind, *overrides):
        out = tmp_path / f"out_{len(list(tmp_path.iterdir()))}"
        outcome = command_line(kind, *overrides, *TINY, f"out={out}")
        assert outcome.status == 0, outcome.text
        (path,) = out.iterdir()
        folder = RunFolder.open(path)
        assert folder.is_complete
        return folder

    return start


def stages_of(folder):
    return list(folder.read_run()["stages"])


def threat_of(folder):
    return read_json(folder.evaluation_json)["threat"]


def same_weights(first, second):
    one, other = (load_network(path)[0].state_dict() for path in (first, second))
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_whole_way_ends_with_a_report(finished):
    assert stages_of(finished) == ["search", "retrain", "baseline", "evaluate", "report"]
    assert finished.is_complete
    page = finished.report_html.read_text()
    assert "PGD-20" in page
    assert "threat.eps=0.2" in page, "how to reproduce it"
    networks = read_json(finished.evaluation_json)["networks"]
    assert set(networks) == {"retrain", "baseline"}
    assert all(entry["result"]["images"] == 6 for entry in networks.values())


def test_retraining_from_a_run_is_what_the_run_itself_did(finished, run):
    """Genotype, data, threat and objective are the run's, so the weights are too, to the last bit."""
    folder = run("retrain", f"from={finished.path}", "stages=[retrain,evaluate]")
    assert stages_of(folder) == ["retrain", "baseline", "evaluate"]
    assert genotype_codec.load(folder.genotype_json) == genotype_codec.load(finished.genotype_json)
    assert threat_of(folder) == {"norm": "linf", "eps": 0.2}
    assert "data.train_limit=600" in folder.read_overrides()
    for stage in ("retrain", "baseline"):
        assert same_weights(folder.best_checkpoint(stage), finished.best_checkpoint(stage))


def test_what_the_user_types_wins_over_the_run(finished, run):
    folder = run(
        "retrain", f"from={finished.path}", "threat.eps=0.05", "objective=standard", "stages=[retrain,evaluate]"
    )
    assert stages_of(folder) == ["retrain", "evaluate"], "standard training needs no baseline"
    assert threat_of(folder)["eps"] == 0.05
    assert read_json(folder.evaluation_json)["networks"]["retrain"]["title"] == "standard training"


def test_retraining_from_a_file_has_the_files_genotype_and_default_settings(finished, run, tmp_path_factory):
    file = tmp_path_factory.mktemp("published") / "rnas.txt"
    file.write_text(PUBLISHED["RNAS"].text)
    folder = run("retrain", f"from={file}", "stages=[retrain]", "retrain.baseline=false")
    assert genotype_codec.load(folder.genotype_json) == published("RNAS")
    assert not folder.evaluation_json.exists()
    assert folder.best_checkpoint("retrain").is_file()


def test_retraining_a_published_genotype(run):
    folder = run("retrain", "from=DARTS_V2", "stages=[retrain]", "retrain.baseline=false")
    assert genotype_codec.load(folder.genotype_json) == published("DARTS_V2")


def test_evaluating_a_run_again(finished, run):
    """Both networks, unchanged; the same numbers where the settings are the same."""
    folder = run("evaluate", f"from={finished.path}", "stages=[evaluate]")
    assert stages_of(folder) == ["evaluate"]
    ours, theirs = (read_json(f.evaluation_json)["networks"] for f in (folder, finished))
    assert set(ours) == {"retrain", "baseline"}
    for stage in ours:
        assert same_weights(folder.best_checkpoint(stage), finished.best_checkpoint(stage))
        accuracies = [[r["accuracy"] for r in entry[stage]["result"]["records"]] for entry in (ours, theirs)]
        assert accuracies[0] == accuracies[1]


@pytest.mark.skipif(cpp_compiler() is None, reason="torch.compile needs a C++ compiler")
def test_attacks_on_a_network_that_torch_compiled_find_the_same(finished, run, monkeypatch):
    """Traced as for any compiler but run by torch: the kernels that one makes take a minute, and tests of their own."""
    compiled, torch_compile = [], torch.compile

    def traced(network, **options):
        compiled.append(options)
        return torch_compile(network, **options, backend="aot_eager")

    monkeypatch.setattr(torch, "compile", traced)
    again = run("evaluate", f"from={finished.path}", "evaluate.torch_compile=true", "trainer.limits.attacks=[pgd20]")
    assert len(compiled) == 2
    accuracies = []
    for folder in (finished, again):
        networks = read_json(folder.evaluation_json)["networks"]
        results = {name: entry["result"] for name, entry in networks.items()}
        accuracies.append({
            (name, one["label"]): one["accuracy"]
            for name, result in results.items()
            for one in [result["clean"], *result["records"]]
            if one["attack"] in ("clean", "pgd20")
        })  # fmt: skip
    assert accuracies[1] == accuracies[0]
    assert len(accuracies[0]) >= 4


def test_verifying_a_run_that_was_not(finished, run):
    """Every network of it, with a report that shows what is proved."""
    verify = [f"evaluate.verify.{setting}" for setting in ("engines=[ibp]", "attack_steps=2", "attack_restarts=1")]
    folder = run("evaluate", f"from={finished.path}", "evaluate=certified", *verify)
    networks = read_json(folder.evaluation_json)["networks"]
    assert set(networks) == {"retrain", "baseline"}
    for entry in networks.values():
        verification = entry["verification"]
        assert (verification["norm"], verification["images"]) == ("linf", 6)
        assert [point["eps"] for point in verification["curve"]] == [0.1, 0.2]
        assert all(0 <= point["certified"] <= point["standing"] <= 1 for point in verification["curve"])
    assert "What is proved" in folder.report_html.read_text()
    assert (folder.plots_dir / "certified.png").is_file()


def test_smoothing_a_run_that_was_not(finished, run):
    few = [f"evaluate.smoothing.{setting}" for setting in ("samples=40", "selection_samples=10", "eps=[0.05]")]
    folder = run("evaluate", f"from={finished.path}", "evaluate=smoothed", *few)
    for stage, entry in read_json(folder.evaluation_json)["networks"].items():
        images = read_json(folder.evaluation_dir / stage / "smoothing.json")["smoothed"]
        assert len(images) == entry["smoothing"]["images"] == 6
        assert entry["smoothing"]["curve"][0]["certified"] == sum(one["radius"] >= 0.05 for one in images) / 6
    assert "Randomised smoothing" in folder.report_html.read_text()


def test_corruptions_of_too_small_images_are_refused_before_any_work(finished, command_line, tmp_path):
    outcome = command_line("evaluate", f"from={finished.path}", "evaluate=corruptions", *TINY, f"out={tmp_path}")
    assert outcome.status == 2
    assert "at least 16 x 16" in outcome.text
    assert not list(tmp_path.iterdir())


def test_evaluating_one_checkpoint_under_another_threat(finished, run):
    checkpoint = finished.best_checkpoint("baseline")
    folder = run("evaluate", f"from={checkpoint}", "threat=l2", "threat.eps=1.5")
    assert stages_of(folder) == ["evaluate", "report"]
    assert threat_of(folder) == {"norm": "l2", "eps": 1.5}
    networks = read_json(folder.evaluation_json)["networks"]
    assert [entry["title"] for entry in networks.values()] == ["standard training"]
    assert folder.report_html.is_file()


def test_an_evaluation_of_a_retraining_retrains_nothing(finished, run, command_line, tmp_path_factory):
    """An experiment that the run was started with must not bring its stages."""
    out = tmp_path_factory.mktemp("retrained")
    outcome = command_line("retrain", f"from={finished.path}", *TINY, "stages=[retrain]", f"out={out}")
    assert outcome.status == 0, outcome.text
    (retrained,) = out.iterdir()
    folder = run("evaluate", f"from={retrained}")
    assert stages_of(folder) == ["evaluate", "report"]
    assert threat_of(folder)["eps"] == 0.2, "settings are handed on from run to run"
