"""A published folder is the network, or it is refused."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from dsrna.errors import CheckpointError, UnsupportedError
from dsrna.spaces import genotype_codec
from dsrna.spaces.darts.published import published
from dsrna.training import published_network
from dsrna.training.external_model import ExternalDescription, build_external
from dsrna.training.published_network import CONFIG, WEIGHTS, About, is_published, load_published, save_published
from dsrna.training.trained_network import NetworkDescription, build_network

SIZES = {"cells": 3, "channels": 4, "auxiliary": True, "stem": "cifar", "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.2, 0.3]}
DERIVED = NetworkDescription(genotype_codec.to_json(published("PC_DARTS")), [3, 8, 8], 5, SIZES)
RESNET = ExternalDescription("dsrna:wrn_10_1", {}, [3, 8, 8], 5, [0.4, 0.5, 0.6], [0.2, 0.2, 0.3])
ABOUT = About("standard training", "retrain", {"epoch": 3, "val/acc": 0.5}, list("abcde"), "made-up images",
              {"norm": "linf", "eps": 8 / 255})  # fmt: skip


def images():
    return torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network():
    """One whose running statistics have moved."""
    torch.manual_seed(0)
    network = build_network(DERIVED)
    network(images())
    return network.eval()


@pytest.fixture
def folder(network, tmp_path):
    save_published(tmp_path, DERIVED, network.state_dict(), ABOUT)
    return tmp_path


def edited(folder, change):
    config = json.loads((folder / CONFIG).read_text())
    change(config)
    (folder / CONFIG).write_text(json.dumps(config))


def test_a_network_comes_back_to_the_bit_with_all_that_is_said_of_it(network, folder):
    assert is_published(folder)
    loaded, description, about = load_published(folder)
    assert torch.equal(loaded(images()), network(images()))
    assert not loaded.training
    assert (description, about) == (DERIVED, ABOUT)
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, WEIGHTS]


def test_another_reader_finds_the_weights_under_the_networks_names(network, folder):
    """The format is a length, a header in JSON, and numbers: https://github.com/huggingface/safetensors#format."""
    payload = (folder / WEIGHTS).read_bytes()
    length = int.from_bytes(payload[:8], "little")
    header, numbers = json.loads(payload[8 : 8 + length]), payload[8 + length :]
    assert header.pop("__metadata__") == {"format": "pt"}
    assert header.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        first, last = header[name]["data_offsets"]
        kind = {"F32": np.float32, "I64": np.int64}[header[name]["dtype"]]
        found = np.frombuffer(numbers[first:last], kind).reshape(header[name]["shape"])
        np.testing.assert_array_equal(found, tensor.numpy())


def test_a_network_without_cells_with_its_normalisation(tmp_path):
    torch.manual_seed(0)
    theirs = build_external(RESNET).eval()
    save_published(tmp_path, RESNET, theirs.state_dict(), ABOUT)
    loaded, description, _ = load_published(tmp_path)
    assert torch.equal(loaded(images()), theirs(images()))
    assert description == RESNET


@pytest.mark.parametrize(
    "description",
    [
        dataclasses.replace(RESNET, model="mypackage.nets:build"),
        dataclasses.replace(RESNET, model="timm:resnet18"),
        dataclasses.replace(RESNET, arguments={"weights": "net.pt"}),
        dataclasses.replace(RESNET, model="net.onnx", content=torch.zeros(3, dtype=torch.uint8)),
    ],
    ids=["own code", "timm", "an argument that names a file", "a file"],
)
def test_what_values_alone_do_not_build_is_not_published(description, tmp_path):
    with pytest.raises(UnsupportedError, match="values alone"):
        save_published(tmp_path / "out", description, {}, ABOUT)
    assert not (tmp_path / "out").exists()


def test_a_config_imports_nothing(folder):
    edited(folder, lambda config: config.update(network={**dataclasses.asdict(RESNET), "model": "os:getcwd"}))
    with pytest.raises(CheckpointError, match=r"`os:getcwd`, which would be imported"):
        load_published(folder)


def test_weights_that_are_not_those_that_were_published_are_refused(folder):
    payload = bytearray((folder / WEIGHTS).read_bytes())
    payload[-1] ^= 1
    (folder / WEIGHTS).write_bytes(payload)
    with pytest.raises(CheckpointError, match="digest"):
        load_published(folder)


def test_weights_of_another_network_or_that_are_not_finite_are_refused(network, tmp_path):
    weights = network.state_dict()
    save_published(tmp_path / "a", dataclasses.replace(DERIVED, classes=6), weights, ABOUT)
    with pytest.raises(CheckpointError, match="5 classes, where 6 are said"):
        load_published(tmp_path / "a")
    save_published(tmp_path / "b", DERIVED, weights | {"classifier.bias": torch.full((5,), torch.nan)}, ABOUT)
    with pytest.raises(CheckpointError, match="not finite"):
        load_published(tmp_path / "b")
    (name, *_) = weights
    save_published(tmp_path / "c", DERIVED, {key: value for key, value in weights.items() if key != name}, ABOUT)
    with pytest.raises(CheckpointError, match="missing"):
        load_published(tmp_path / "c")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda config: config.update(version=2), "version 2"),
        (lambda config: config.pop("network"), "network"),
        (lambda config: config["network"].pop("genotype"), "genotype"),
        (lambda config: config["network"]["sizes"].update(channels="many"), "fit together"),
        (lambda config: config.update(numbers={"epoch": "last"}), "numbers"),
    ],
)
def test_a_config_that_is_none_is_refused(folder, change, says):
    edited(folder, change)
    with pytest.raises(CheckpointError, match=says):
        load_published(folder)


def test_what_is_missing_is_named(folder):
    (folder / WEIGHTS).unlink()
    assert not is_published(folder)
    with pytest.raises(CheckpointError, match=WEIGHTS):
        load_published(folder)


def test_bytes_that_are_no_weights_are_refused(folder, monkeypatch):
    payload = b"no weights"
    (folder / WEIGHTS).write_bytes(payload)
    digest = published_network.hashlib.sha256(payload).hexdigest()
    edited(folder, lambda config: config["weights"].update(sha256=digest))
    with pytest.raises(CheckpointError, match="Can't read"):
        load_published(folder)
