"""SCORE against the formula of its paper, on probabilities."""

import copy

import pytest
import torch

from dsrna.attacks import PGD
from dsrna.errors import ConfigError
from dsrna.objectives.score import Score
from dsrna.types import Threat
from tests.unit.objectives.test_mart import batch, network, seeded
from tests.unit.objectives.textbook import check_loss_and_gradients


@pytest.mark.parametrize("threat", [Threat("linf", 0.1), Threat("l2", 0.5)], ids=lambda threat: threat.norm)
def test_it_is_the_papers_loss_and_has_its_gradients(threat):
    (x, y), model = batch(), network()
    reference = copy.deepcopy(model)
    examples = PGD(threat.norm, threat.eps, steps=3, loss="squared_error")(reference, x, y, seeded())
    expected = []
    for clean, attacked, label in zip(reference(x).softmax(1), reference(examples).softmax(1), y, strict=True):
        target = torch.full_like(clean, 0.1 / 3)
        target[label] += 0.9
        expected.append((clean - target) @ (clean - target) + 5 * (clean - attacked) @ (clean - attacked))
    result = Score(threat, beta=5.0, steps=3, label_smoothing=0.1)(model, x, y, seeded())
    check_loss_and_gradients(result.loss, model, torch.stack(expected).mean(), reference)


def test_its_attack_goes_up_the_squared_distance():
    """Which the attack's own tests compare with a textbook's."""
    attack = Score(Threat("linf", 0.1), steps=3, step_size=0.05).attack
    assert (attack.loss, attack.steps, attack.step_size) == ("squared_error", 3, 0.05)


def test_what_is_out_of_range_is_refused():
    with pytest.raises(ConfigError, match=r"`beta` >= 0, got -1. \(conf: beta\)"):
        Score(Threat("linf", 0.1), beta=-1.0)
