"""Networks that aren't dsrna's: built by name, with weights from anywhere, and only where the user vouches for them."""

import os
import sys

import pytest
import torch
from torchvision.models import resnet18

from dsrna.errors import CheckpointError, ConfigError, MissingPartError
from dsrna.training.external_model import ExternalDescription, build_external
from dsrna.training.external_weights import load_external_weights
from dsrna.training.trained_network import load_network, save_network

MODULE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.model = nn.Sequential(nn.Conv2d(2, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(),
                                   nn.LazyLinear(5) if width == 99 else nn.Linear(9 * width, 5))
    def forward(self, x):
        return self.model(x)

def pair():
    class Pair(Net):
        def forward(self, x):
            return super().forward(x), None
    return Pair()

def number():
    return 3

def broken():
    raise ValueError("no such luck")
"""
SHAPE, CLASSES = [2, 5, 5], 5


@pytest.fixture
def net(tmp_path, monkeypatch):
    """A module of a user's with a class ``Net``; the class."""
    (tmp_path / "users_nets.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "users_nets", raising=False)
    import users_nets

    yield users_nets.Net
    sys.modules.pop("users_nets", None)


def described(model, shape=SHAPE, classes=CLASSES, mean=None, std=None, **arguments):
    return ExternalDescription(model, arguments, shape, classes, mean, std)


def trained(network):
    """With weights and statistics that aren't those of a fresh network."""
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor), alpha=0.01)
    return network.eval()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: weights,
        lambda weights: {"epoch": 3, "state_dict": weights},
        lambda weights: {"optimizer": {"state": {}}, "net": {f"module.{key}": value for key, value in weights.items()}},
        lambda weights: {"model": {f"module._orig_mod.{key}": value for key, value in weights.items()}, "best": 0.9},
        lambda weights: {key: value for key, value in weights.items() if not key.endswith("num_batches_tracked")},
    ],
    ids=["alone", "state_dict", "DataParallel", "compiled", "without counts"],
)
def test_weights_are_read_as_other_code_saves_them(net, tmp_path, wrap):
    theirs = trained(net(width=6))
    torch.save(wrap(theirs.state_dict()), tmp_path / "net.pt")
    ours = build_external(described("users_nets:Net", width=6)).eval()
    load_external_weights(ours.inner, tmp_path / "net.pt")
    x = torch.rand(3, *SHAPE)
    assert torch.equal(ours(x), theirs(x))


def test_torchvisions_resnet_with_normalisation_before_it(tmp_path):
    theirs = trained(resnet18(num_classes=7))
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "net.pt")
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
    ours = build_external(described("torchvision:resnet18", [3, 32, 32], 7, mean, std)).eval()
    load_external_weights(ours.inner, tmp_path / "net.pt")
    x = torch.rand(2, 3, 32, 32)
    expected = theirs((x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1))
    torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-4)  # in another memory format


def test_a_network_is_built_in_training_mode(net):
    assert build_external(described("users_nets:Net")).training


def test_safetensors(net, tmp_path):
    import safetensors.torch as safetensors

    theirs = trained(net())
    safetensors.save_file(theirs.state_dict(), tmp_path / "net.safetensors")
    ours = build_external(described("users_nets:Net")).eval()
    load_external_weights(ours.inner, tmp_path / "net.safetensors")
    x = torch.rand(3, *SHAPE)
    assert torch.equal(ours(x), theirs(x))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingPartError, match="timm"):
        build_external(described("timm:resnet18"))


class Evil:
    def __reduce__(self):
        return (os.getcwd, ())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda net: {"epoch": 3}, "found the keys epoch"),
        (lambda net: {}, "of nothing"),
        (lambda net: net(width=5).state_dict(), "of another shape: model.0.weight 5x2x3x3 for 4x2x3x3"),
        (lambda net: {"a": torch.ones(2)}, "missing: model.0.weight.*not of this network: a"),
        (lambda net: net().state_dict() | {"model.4.bias": torch.full((5,), torch.nan)}, "model.4.bias .*not finite"),
        (lambda net: Evil(), "tensors and plain values alone"),
    ],
    ids=["no weights", "nothing", "another size", "another network", "NaN", "code"],
)
def test_wrong_weights_are_refused(net, tmp_path, content, says):
    with (tmp_path / "net.pt").open("wb") as file:
        torch.save(content(net), file)
    with pytest.raises(CheckpointError, match=f"(?s){says}"):
        load_external_weights(net(), tmp_path / "net.pt")


@pytest.mark.parametrize(
    ("model", "arguments", "says"),
    [
        ("users_nets:Nett", {}, "no attribute 'Nett'"),
        ("no_such_module:Net", {}, "No module named 'no_such_module'"),
        ("users_nets:Net", {"widht": 3}, r"unexpected keyword argument 'widht'.*model_arguments"),
        ("users_nets:number", {}, "Expected a torch.nn.Module of `users_nets:number`, got int"),
        ("users_nets:pair", {}, "gives a tuple"),
        ("users_nets:broken", {}, "ValueError: no such luck"),
        ("torchvision:resnet19", {}, "Near are: resnet18"),
        ("dsrna:resnet19", {}, "such as wrn_28_10"),
        ("torchvision:resnet18", {}, r"fails on images of \(2, 5, 5\)"),
        ("resnet18", {}, "Expected dsrna:NAME, torchvision:NAME"),
        ("os.system('x'):y", {}, "Expected dsrna:NAME, torchvision:NAME"),
    ],
)
def test_wrong_models_are_refused(net, model, arguments, says):
    with pytest.raises(ConfigError, match=says):
        build_external(described(model, **arguments))


def test_another_number_of_classes_is_refused(net):
    with pytest.raises(ConfigError, match=r"gives \(2, 5\) for 2 images, expected logits of 4 classes"):
        build_external(described("users_nets:Net", classes=4))


def test_a_checkpoint_builds_it_again_where_the_user_names_its_code(net, tmp_path):
    description = described("users_nets:Net", width=3)
    network = trained(build_external(description))
    save_network(tmp_path / "best.ckpt", description, network.state_dict(), "mine", {})
    sys.modules.pop("users_nets")
    for named in (None, "users_nets:pair", "torchvision:resnet18"):
        with pytest.raises(CheckpointError, match="model=users_nets:Net"):
            load_network(tmp_path / "best.ckpt", named)
    assert "users_nets" not in sys.modules, "nothing is imported that wasn't named"
    loaded, found, about = load_network(tmp_path / "best.ckpt", "users_nets:Net")
    x = torch.rand(3, *SHAPE)
    assert torch.equal(loaded(x), network(x))
    assert not loaded.training
    assert (found, about["title"]) == (description, "mine")


@pytest.mark.parametrize(
    ("model", "arguments", "trusted"),
    [
        ("torchvision:resnet18", {}, True),
        ("torchvision:resnet18", {"width_per_group": 32}, True),
        ("dsrna:preact_resnet18", {"width": 16}, True),
        ("dsrna:cnn7", {"width": 4, "hidden": 8}, True),
        ("torchvision:resnet18", {"weights": "DEFAULT"}, False),  # it would be fetched
        ("timm:resnet18", {"checkpoint_path": "x.pth"}, False),  # it would be unpickled
        ("timm:resnet18", {}, False),
        ("users_nets:Net", {}, False),
    ],
)
def test_what_a_file_may_build_by_itself(model, arguments, trusted):
    assert described(model, **arguments).needs_trust is not trusted
