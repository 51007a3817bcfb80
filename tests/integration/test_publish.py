"""``python -m dsrna publish``: what it writes is the run's network, for dsrna, its commands and the Hub's interface."""

import json
import shutil

import pytest
import torch

import dsrna
from dsrna.__main__ import main
from dsrna.config.compose import compose, settings_from
from dsrna.errors import CheckpointError, ConfigError, DataError
from dsrna.runs.sources import load_splits
from dsrna.spaces import genotype_codec
from dsrna.spaces.darts.published import published
from dsrna.stages.retrain import describe
from dsrna.testing.run_folders import build_run_folder
from dsrna.training.trained_network import build_network, save_network

SETTINGS = ["retrain.cells=2", "retrain.channels=2", "data.test_limit=20"]
EVALUATED = ["evaluate=quick", "evaluate.attacks.pgd20=null", "evaluate.eps_curve=[]"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder with networks of two stages, and their logits for images of digits."""
    folder = build_run_folder(tmp_path_factory.mktemp("runs") / "run")
    settings = settings_from(compose("evaluate", SETTINGS))
    splits = load_splits(settings)
    description = describe(settings, splits, published("DARTS_V1"))
    x = splits.test.batch(torch.arange(20))[0]
    logits = {}
    for seed, stage in enumerate(("retrain", "baseline")):
        torch.manual_seed(seed)
        network = build_network(description)
        network(splits.train.batch(torch.arange(64))[0])
        save_network(folder.best_checkpoint(stage), description, network.state_dict(), stage, {"epoch": 1})
        logits[stage] = network.eval()(x).detach()
    return folder.path, x, logits


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("published") / "net"
    assert main(["publish", f"from={trained[0]}", "--out", str(out), "--licence", "cc0-1.0", "--name", "net"]) == 0
    return out


def test_the_folder_gives_the_runs_logits_to_the_bit(trained, folder):
    _, x, logits = trained
    assert torch.equal(dsrna.load(folder)(x), logits["retrain"])
    assert torch.equal(dsrna.predict(folder, x), logits["retrain"].argmax(1))
    names = {"README.md", "config.json", "model.safetensors", "genotype.json", "cell_normal.png", "cell_reduce.png"}
    assert {path.name for path in folder.iterdir()} == names
    assert genotype_codec.load(folder / "genotype.json") == published("DARTS_V1")
    card = (folder / "README.md").read_text()
    assert "\n# net\n" in card
    assert all(name in card for name in ("cell_normal.png", "cell_reduce.png", "license: cc0-1.0"))


def test_another_network_of_the_run(trained, tmp_path):
    source, x, logits = trained
    out = dsrna.publish(source, tmp_path / "b", stage="baseline")
    assert torch.equal(dsrna.load(out)(x), logits["baseline"])
    assert json.loads((out / "config.json").read_text())["stage"] == "baseline"


@pytest.mark.slow
def test_its_evaluation_is_that_of_the_checkpoint(trained, folder, tmp_path):
    shared = [*SETTINGS, *EVALUATED, "trainer.progress=off"]
    again = dsrna.evaluate(None, [f"model={folder}", f"out={tmp_path / 'a'}", *shared])
    first = dsrna.evaluate(trained[0] / "retrain" / "best.ckpt", [f"out={tmp_path / 'b'}", *shared])
    assert again.accuracies == first.accuracies
    assert again.genotype == published("DARTS_V1")
    assert again.evaluation["networks"]["retrain"]["title"] == "retrain"
    assert torch.equal(dsrna.load(again)(trained[1]), trained[2]["retrain"])


def test_what_does_not_fit_a_published_network_is_refused(folder, tmp_path):
    with pytest.raises(DataError, match=r"\(1, 8, 8\) in 10 classes"):
        dsrna.evaluate(None, [f"model={folder}", "data.pixels=4", f"out={tmp_path}"])
    with pytest.raises(ConfigError, match="leave out normalization"):
        dsrna.evaluate(None, [f"model={folder}", "normalization=data", f"out={tmp_path}"])
    with pytest.raises(ConfigError, match=r"from=.*genotype\.json"):
        dsrna.retrain(None, [f"model={folder}", f"out={tmp_path}"])
    with pytest.raises(CheckpointError, match=r"config\.json"):
        dsrna.evaluate(None, [f"model={tmp_path}", f"out={tmp_path}"])


def test_the_hubs_interface_reads_and_writes_such_folders(trained, folder, tmp_path):
    pytest.importorskip("huggingface_hub")
    from dsrna.hub import HubNetwork

    _, x, logits = trained
    network = HubNetwork.from_pretrained(str(folder))
    assert torch.equal(network(x), logits["retrain"])
    assert not network.training
    with torch.no_grad():
        network.network.classifier.bias += 1
    network.save_pretrained(tmp_path / "moved")
    assert torch.equal(dsrna.load(tmp_path / "moved")(x), network(x))
    assert "dsrna" in (tmp_path / "moved" / "README.md").read_text()

    cache = tmp_path / "cache" / "models--owner--name"  # as the Hub's files lie once they are downloaded
    shutil.copytree(folder, cache / "snapshots" / ("0" * 40))
    (cache / "refs").mkdir()
    (cache / "refs" / "v1").write_text("0" * 40)
    given = {"revision": "v1", "cache_dir": tmp_path / "cache", "local_files_only": True}
    assert torch.equal(HubNetwork.from_pretrained("owner/name", **given)(x), logits["retrain"])


def test_what_can_not_be_published_is_one_message_and_status_2(trained, folder, tmp_path, capsys):
    for arguments, says in (
        (["from=nowhere"], "nowhere"),
        ([f"from={trained[0]}", "--network", "basline"], "baseline"),
        ([f"from={trained[0]}", "--out", str(folder)], "new or empty"),
        ([f"from={build_run_folder(tmp_path / 'empty', ['search']).path}"], "run its retrain stage"),
    ):
        assert main(["publish", *arguments]) == 2
        assert says in capsys.readouterr().err
