import dataclasses

import pytest
import torch

from dsrna.errors import CheckpointError
from dsrna.spaces import genotype_codec
from dsrna.spaces.darts.published import published
from dsrna.training.checkpoints import load_checkpoint, save_checkpoint
from dsrna.training.trained_network import NetworkDescription, build_network, load_network, save_network
from dsrna.training.weights_fit import PREFIXES

DESCRIPTION = NetworkDescription(
    genotype=genotype_codec.to_json(published("PC_DARTS")),
    shape=[3, 8, 8],
    classes=5,
    sizes={
        "cells": 3,
        "channels": 4,
        "auxiliary": True,
        "stem": "cifar",
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.2, 0.3],
    },
)


@pytest.fixture
def images():
    return torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def network(images):
    """One whose running statistics have moved."""
    torch.manual_seed(0)
    network = build_network(DESCRIPTION)
    network(images)
    return network.eval()


@pytest.fixture
def saved(network, tmp_path):
    path = tmp_path / "best.ckpt"
    save_network(path, DESCRIPTION, network.state_dict(), "adversarial training", {"acc_adv": 0.5})
    return path


def test_a_loaded_network_gives_the_same_logits(network, images, saved):
    loaded, description, about = load_network(saved)
    assert not loaded.training
    assert torch.equal(loaded(images), network(images))
    assert description == DESCRIPTION
    assert about == {"title": "adversarial training", "numbers": {"acc_adv": 0.5}}


def test_its_first_layer_is_the_data_s_normalisation(saved):
    loaded, _, _ = load_network(saved)
    assert loaded.normalize.mean.flatten().tolist() == pytest.approx([0.4, 0.5, 0.6])
    assert loaded.normalize.std.flatten().tolist() == pytest.approx([0.2, 0.2, 0.3])


def test_the_file_holds_tensors_and_plain_types_alone(saved):
    content = torch.load(saved, weights_only=True)
    assert set(content) == {"schema", "version", "network", "state_dict", "title", "numbers", "digest"}
    assert all(type(tensor) is torch.Tensor and not tensor.requires_grad for tensor in content["state_dict"].values())


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"schema": "dsrna.run"}, {"version": None}, {"schema": None}],
)
def test_another_schema_or_version_is_refused(saved, change):
    save_checkpoint(saved, load_checkpoint(saved) | change)
    with pytest.raises(CheckpointError, match=r"Expected a network of schema dsrna\.network version 1 in .*best\.ckpt"):
        load_network(saved)


def changed(**changes):
    return dataclasses.asdict(dataclasses.replace(DESCRIPTION, **changes))


@pytest.mark.parametrize(
    "description",
    [
        changed(classes=7),
        changed(sizes=DESCRIPTION.sizes | {"channels": 8}),
        changed(sizes=DESCRIPTION.sizes | {"no_such_size": 1}),
        changed(genotype=DESCRIPTION.genotype | {"space": "unknown"}),
        {"genotype": DESCRIPTION.genotype},
        changed(shape=[3, 8]),
    ],
    ids=["classes", "channels", "unknown size", "unknown space", "incomplete", "shape"],
)
def test_a_description_that_doesn_t_fit_the_weights_is_refused(saved, description):
    save_checkpoint(saved, load_checkpoint(saved) | {"network": description})
    with pytest.raises(CheckpointError, match=r"best\.ckpt does not fit together"):
        load_network(saved)


def edited(path, **changes):
    """The file as a user's own code writes it back, with or without the digest that it had."""
    torch.save(torch.load(path, weights_only=True) | changes, path)


@pytest.mark.parametrize("prefix", [*PREFIXES, "module._orig_mod.", "model.module."])
def test_weights_saved_from_within_a_wrapper_are_read(network, images, saved, prefix):
    edited(saved, state_dict={prefix + key: value for key, value in network.state_dict().items()})
    assert torch.equal(load_network(saved)[0](images), network(images))


def test_one_wrong_weight_is_refused(network, saved):
    weights = network.state_dict()
    weights["stem.layers.0.weight"][0, 0, 0, 0] = 7e25
    edited(saved, state_dict=weights)
    with pytest.raises(CheckpointError, match=r"best\.ckpt isn't what was written to it: its digest is wrong"):
        load_network(saved)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w: w.pop("classifier.bias"), r"missing: classifier\.bias\. Probably .* incomplete"),
        (lambda w: w.update(extra=torch.zeros(1)), r"not of this network: extra\. Probably .* genotype"),
        (
            lambda w: w.update({f"classifier.{k}": w[f"classifier.{k}"][:3] for k in ("weight", "bias")}),
            r"another shape: classifier\.weight 3x\d+ for 5x\d+, classifier\.bias 3 for 5\. .* 3 classes, where 5",
        ),
        (
            lambda w: [w.pop(key) for key in list(w) if key.startswith("auxiliary_head")],
            r"missing: auxiliary_head\.features\.2\.weight, .*, … \(14 in all\)\. .* without an auxiliary head",
        ),
        (
            lambda w: w.update({"stem.layers.0.weight": torch.zeros(8, 3, 3, 3)}),
            r"stem\.layers\.0\.weight 8x3x3x3 for 12x3x3x3\. Probably .* number of channels",
        ),
        (
            lambda w: [w.update({f"ema.{key}": w.pop(key)}) for key in list(w)],
            r"missing: normalize\.mean, .*; not of this network: ema\.normalize\.mean.* wrapper whose prefix",
        ),
        (lambda w: w["classifier.bias"].fill_(float("nan")), r"classifier\.bias is not finite \(1 such"),
    ],
    ids=["missing", "unknown", "classes", "auxiliary head", "channels", "prefix", "NaN"],
)
def test_weights_that_do_not_fit_are_named_with_the_likely_reason(network, saved, change, says):
    """Files without a digest, as a user's own code may write them."""
    weights = dict(network.state_dict())
    change(weights)
    edited(saved, state_dict=weights, digest=None)
    with pytest.raises(CheckpointError, match=says):
        load_network(saved)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda whole: whole["state_dict"], "got weights alone"),
        (lambda whole: {"state_dict": whole["state_dict"], "epoch": 3}, "got weights alone"),
        (lambda whole: {"dsrna": {"stage": "retrain"}, "state_dict": {}}, "got a checkpoint to continue a stage from"),
    ],
)
def test_another_kind_of_checkpoint_is_called_by_its_name(saved, content, says):
    torch.save(content(torch.load(saved, weights_only=True)), saved)
    with pytest.raises(CheckpointError, match=says):
        load_network(saved)
