"""MART against the formula of its paper, on probabilities."""

import copy

import pytest
import torch
from torch import nn

from dsrna.attacks import PGD
from dsrna.errors import ConfigError
from dsrna.objectives.mart import Mart
from dsrna.testing.attack_conformance import tiny_classifier
from dsrna.types import Threat
from tests.unit.objectives.textbook import check_loss_and_gradients


def network():
    model = tiny_classifier()
    model[3] = nn.Identity()  # for dropout, which would make the second network another one
    return model.double()


def batch():
    draw = torch.Generator().manual_seed(0)
    return torch.rand(6, 2, 6, 6, generator=draw).double(), torch.randint(3, (6,), generator=draw)


def seeded():
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize("threat", [Threat("linf", 0.1), Threat("l2", 0.5)], ids=lambda threat: threat.norm)
def test_it_is_the_papers_loss_and_has_its_gradients(threat):
    (x, y), model = batch(), network()
    reference = copy.deepcopy(model)
    examples = PGD(threat.norm, threat.eps, steps=3)(reference, x, y, seeded())
    expected = []
    for clean, attacked, label in zip(reference(x).softmax(1), reference(examples).softmax(1), y, strict=True):
        wrong = torch.cat([attacked[:label], attacked[label + 1 :]])
        boosted = -attacked[label].log() - (1 - wrong.max()).log()
        expected.append(boosted + 4 * (clean * (clean / attacked).log()).sum() * (1 - clean[label]))
    result = Mart(threat, beta=4.0, steps=3)(model, x, y, seeded())
    check_loss_and_gradients(result.loss, model, torch.stack(expected).mean(), reference)


def test_a_network_that_is_certain_of_a_wrong_class_has_a_finite_loss():
    """There the textbook's 1 - p is 0, and its logarithm infinite."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 3)).double()
    with torch.no_grad():
        model[1].bias.copy_(torch.tensor([0.0, 500.0, 0.0]))
    x, _ = batch()
    loss = Mart(Threat("linf", 0.01), steps=1)(model, x, torch.zeros(6, dtype=torch.long), seeded()).loss
    assert loss.item() == pytest.approx(2 * 500, rel=0.01)


def test_a_negative_weight_is_refused():
    with pytest.raises(ConfigError, match=r"got -1. \(conf: beta\)"):
        Mart(Threat("linf", 0.1), beta=-1.0)
