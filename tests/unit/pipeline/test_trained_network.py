import dataclasses

import pytest
import torch

from dsrna.errors import CheckpointError
from dsrna.pipeline.trained_network import NetworkDescription, build_network, load_network, save_network
from dsrna.spaces import genotype_codec
from dsrna.spaces.darts.published import published
from dsrna.training.checkpoints import load_checkpoint, save_checkpoint

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
    assert set(content) == {"schema", "version", "network", "state_dict", "title", "numbers"}
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
