"""A network that was trained without dsrna goes from its file to a report by one command."""

import sys

import pytest
import torch
from torch import nn

import dsrna
from dsrna.errors import CheckpointError, ConfigError
from dsrna.evaluation.foolbox_engine import FoolboxPGD
from dsrna.nn.normalize import Normalize
from dsrna.run_folder import RunFolder
from dsrna.types import Threat

pytestmark = pytest.mark.slow
MODULE = """
from torch import nn

def net(width):
    return nn.Sequential(nn.Conv2d(1, width, 3, stride=2), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(),
                         nn.Linear(9 * width, 10))
"""
EVALUATED = [
    *("data.test_limit=60", "evaluate.eps_curve=[0.1]", "evaluate=certified", "evaluate.verify.images=4"),
    *("evaluate.attacks.pgd100=null", "evaluate.attacks.cw=null", "evaluate.attacks.autoattack=null"),
    *("evaluate.attacks.apgd_dlr=null", "evaluate.attacks.square=null"),
    *("evaluate.verify.engines=[ibp,crown]", "evaluate.verify.radius=false", "trainer.progress=off"),
]


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A network that another program trained a little and saved, its module where Python finds it."""
    (tmp_path / "their_nets.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    import their_nets
    from sklearn.datasets import load_digits

    torch.manual_seed(0)
    digits = load_digits()
    x, y = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None], torch.tensor(digits.target)
    network = their_nets.net(4)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for step in range(60):
        optimizer.zero_grad()
        chosen = slice(step % 20 * 64, step % 20 * 64 + 64)
        nn.functional.cross_entropy(network((x[chosen] - 0.3) / 0.4), y[chosen]).backward()
        optimizer.step()
    torch.save({"state_dict": {f"module.{key}": value for key, value in network.state_dict().items()}}, "net.pt")
    yield network.eval()
    sys.modules.pop("their_nets", None)


def test_from_file_to_report(theirs, tmp_path):
    named = ["model=their_nets:net", "model_arguments={width: 4}", "normalization={mean: [0.3], std: [0.4]}"]
    run = dsrna.evaluate(None, [*named, "checkpoint=net.pt", f"out={tmp_path / 'runs'}", *EVALUATED])
    found = run.evaluation["networks"]["retrain"]
    loaded = dsrna.load(run, model="their_nets:net")
    x = torch.rand(5, 1, 8, 8)
    torch.testing.assert_close(loaded(x), theirs((x - 0.3) / 0.4))
    assert found["title"] == "their_nets:net"
    assert found["parameters"] == sum(each.numel() for each in theirs.parameters())
    assert found["result"]["clean"]["accuracy"] > 0.5
    assert found["result"]["clean"]["images"] == 60
    assert found["verification"]["curve"][0]["certified"] > 0
    assert "their_nets:net" in run.report.read_text()

    with pytest.raises(CheckpointError, match="model=their_nets:net"):
        dsrna.evaluate(run, [f"out={tmp_path / 'runs'}"])
    again = dsrna.evaluate(run, ["model=their_nets:net", f"out={tmp_path / 'again'}", *EVALUATED])
    then, now = ([(r["attack"], r["accuracy"]) for r in one["result"]["records"]] for one in (
        found, again.evaluation["networks"]["retrain"],
    ))  # fmt: skip
    assert then == now


def test_an_onnx_file_with_its_weights_beside_it(theirs, tmp_path):
    torch.onnx.export(
        theirs, (torch.rand(2, 1, 8, 8),), "net.onnx", dynamic_shapes=({0: "batch"},), opset_version=18, verbose=False
    )
    assert (tmp_path / "net.onnx.data").exists()
    normalized = "normalization={mean: [0.1], std: [0.5]}"
    run = dsrna.evaluate(None, ["model=net.onnx", normalized, f"out={tmp_path / 'runs'}", *EVALUATED])
    (tmp_path / "net.onnx").unlink()
    (tmp_path / "net.onnx.data").unlink()
    x = torch.rand(5, 1, 8, 8)
    torch.testing.assert_close(dsrna.load(run)(x), theirs((x - 0.1) / 0.5))
    found = run.evaluation["networks"]["retrain"]
    assert found["title"] == "net.onnx"
    assert found["parameters"] >= sum(each.numel() for each in theirs.parameters()) - 8  # BatchNorm may be folded


def test_an_exported_program_is_attacked_like_its_module(theirs, tmp_path):
    program = torch.export.export(theirs, (torch.rand(2, 1, 8, 8),), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, "net.pt2")
    normalized = "normalization={mean: [0.3], std: [0.4]}"
    run = dsrna.evaluate(None, ["model=net.pt2", normalized, f"out={tmp_path / 'runs'}", *EVALUATED])
    (tmp_path / "net.pt2").unlink()
    x = torch.rand(5, 1, 8, 8)
    assert torch.equal(dsrna.load(run)(x), theirs((x - 0.3) / 0.4))
    y, threat = torch.tensor([0, 1, 2, 3, 4]), Threat("linf", 0.1)
    module = nn.Sequential(Normalize([0.3], [0.4]), theirs)
    found, expected = (FoolboxPGD(steps=20).examples(each, x, y, threat, 0)[0] for each in (dsrna.load(run), module))
    assert torch.equal(found, expected)
    (network,) = run.evaluation["networks"].values()
    assert network["title"] == "net.pt2"
    assert network["result"]["clean"]["accuracy"] > 0.5
    assert network["verification"]["curve"][0]["certified"] > 0


def test_the_same_recipe_retrains_it(theirs, tmp_path):
    run = dsrna.retrain(
        None, ["model=their_nets:net", "model_arguments={width: 4}", "trainer=debug", f"out={tmp_path}"]
    )
    assert set(run.evaluation["networks"]) == {"retrain", "baseline"}
    weights = dsrna.load(run, model="their_nets:net").state_dict()
    assert weights["inner.1.num_batches_tracked"] > 0, "it was trained"
    assert RunFolder.open(run.path).is_rehearsal


@pytest.mark.parametrize(
    ("command", "overrides", "says"),
    [
        (dsrna.evaluate, ["checkpoint=net.pt"], "`checkpoint` is of a `model`"),
        (dsrna.evaluate, ["model=torchvision:resnet18"], "checkpoint=FILE"),
        (dsrna.evaluate, ["model=net.onnx"], "Expected a .onnx file at net.onnx"),
        (dsrna.evaluate, ["model=a:b", "checkpoint=net.pt", "from=x"], "leave out checkpoint"),
        (
            dsrna.evaluate,
            ["model=a:b", "normalization={mean: [0.5, 0.5], std: [1, 1]}"],
            "2 and 2.*conf: normalization",
        ),
        (dsrna.evaluate, ["model=a:b", "normalization=dta"], "normalization"),
        (dsrna.retrain, ["model=a:b", "checkpoint=net.pt"], "starts from new weights"),
        (dsrna.retrain, ["model=net.onnx"], "can be evaluated"),
        (dsrna.retrain, ["model=net.pt2"], "A .pt2 file can be evaluated"),
        (dsrna.retrain, ["model=a:b", "from=RNAS"], "leave out one of them"),
    ],
)
def test_what_does_not_go_together_is_refused(command, overrides, says, tmp_path):
    with pytest.raises((ConfigError, CheckpointError), match=f"(?s){says}"):
        command(None, [*overrides, f"out={tmp_path}"])
    assert not list(tmp_path.iterdir())
