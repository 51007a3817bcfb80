"""What attacks draw: restarts, repeats and their interval; and networks that draw themselves."""

import json

import pytest
import torch
from scipy.stats import ttest_1samp
from torch import nn

from dsrna.errors import ConfigError
from dsrna.evaluation import APGD, AutoAttack, FoolboxFGSM, FoolboxPGD, evaluate
from dsrna.evaluation.masking import Measurement
from dsrna.evaluation.random_networks import draws_random_numbers, random_check
from dsrna.evaluation.repeats import repeats_entry
from dsrna.evaluation.worst_case import worst_case
from dsrna.testing.attack_conformance import tiny_classifier
from dsrna.types import Threat
from tests.unit.evaluation.test_evaluator import RANDOM_START, Images
from tests.unit.evaluation.test_masking import Linear, Quantised

WIDE = Threat("linf", 0.3)


class Seeing(Linear):
    """Keeps the images that it was shown."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        return super().forward(x)


class Noisy(Linear):
    def scores(self, x):
        return super().scores(x + 0.1 * torch.randn_like(x))


class Shaken(Linear):
    """Right scores, and gradients that another draw hides."""

    def scores(self, x):
        draw = 8 * torch.randn_like(x)
        return super().scores(x) + ((x - x.detach()) * draw).flatten(1).sum(1)


@pytest.mark.parametrize(
    "attack", [FoolboxPGD(steps=1, restarts=3), APGD(steps=1, restarts=3)], ids=lambda one: one.key
)
def test_every_restart_begins_elsewhere(attack):
    """In a ball in which nothing is found, so that all restarts see the image."""
    model, x = Seeing(), torch.rand(1, 1, 6, 6, generator=torch.Generator().manual_seed(4))
    y = model(x).argmax(1)
    model.seen.clear()
    attack.run(model, x, y, Threat("linf", 1e-3), seed=0)
    far = {tuple(one.flatten().tolist()) for one in model.seen if not torch.equal(one, x)}
    assert len(far) >= 3
    assert attack.procedure(WIDE).restarts == 3


@pytest.mark.slow
def test_repeats_draw_anew_and_give_an_interval_of_their_mean(tmp_path):
    def result(attack, folder):
        return evaluate(tiny_classifier(), Images(), [attack], WIDE, seed=0, batch_size=8, folder=tmp_path / folder)[
            "records"
        ][0]

    once, thrice = result(RANDOM_START, "once"), result(FoolboxPGD(steps=1, step_size=0.001, repeats=3), "thrice")
    accuracies = [
        json.loads((tmp_path / "thrice" / f"pgd1_linf_0.3{tail}.json").read_text())["outcomes"].count("1") / 25
        for tail in ("", "_repeat1", "_repeat2")
    ]
    assert thrice["repeats"]["accuracies"] == accuracies
    assert thrice["accuracy"] == accuracies[0] == once["accuracy"]
    assert len(set(accuracies)) > 1
    assert "repeats" not in once


def test_the_interval_of_repeats_is_students():
    accuracies = [0.41, 0.43, 0.44, 0.40]
    expected = ttest_1samp(accuracies, 0).confidence_interval(0.95)
    found = repeats_entry(accuracies)
    assert found["mean"] == pytest.approx(0.42)
    assert found["interval"] == pytest.approx([expected.low, expected.high])


def test_an_image_that_one_repeat_broke_does_not_stand():
    def measured(attack, *outcomes):
        first, *further = (torch.tensor([one == "1" for one in text]) for text in outcomes)
        record = {"attack": attack, "norm": "linf", "eps": 0.1, "seed": 0}
        return Measurement(record, "multi_step", first, tuple(further))

    (record,) = worst_case([measured("a", "1110", "0110"), measured("b", "1111")])
    assert record["accuracy"] == 0.5


def test_repeats_do_not_tell_measurements_apart_nor_do_settings_that_came_later():
    assert APGD(repeats=3).options() == APGD().options() == {"key": "apgd100", "images": None, "steps": 100}
    assert APGD(loss="dlr", passes=2).options() == {
        "key": "apgd100_dlr_eot2", "images": None, "steps": 100, "loss": "dlr", "passes": 2
    }  # fmt: skip
    with pytest.raises(ConfigError, match="repeats"):
        APGD(repeats=0)


def test_dlr_knows_no_scale_where_cross_entropy_is_lost():
    """Logits so large that the softmax is exactly 1."""
    draw = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 4, bias=False))
    network[1].weight.data = torch.randn(4, 36, generator=draw)
    x = torch.rand(30, 1, 6, 6, generator=draw)
    y, threat = network(x).argmax(1), Threat("linf", 0.03)
    expected = APGD(steps=20, loss="dlr").run(network, x, y, threat, seed=0)
    assert 0 < expected.float().mean() < 0.9
    network[1].weight.data *= 2.0**20
    assert torch.equal(APGD(steps=20, loss="dlr").run(network, x, y, threat, seed=0), expected)
    assert APGD(steps=20).run(network, x, y, threat, seed=0).sum() > expected.sum()


def test_more_passes_see_through_gradients_that_are_drawn():
    model, x = Shaken(), torch.rand(60, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    y, threat = Linear()(x).argmax(1), Threat("linf", 0.06)
    single, mean = (APGD(steps=5, passes=passes).run(model, x, y, threat, seed=0) for passes in (1, 80))
    known = APGD(steps=5).run(Linear(), x, y, threat, seed=0)
    assert mean.sum() < 0.8 * single.sum()
    assert known.sum() <= mean.sum() <= known.sum() + 9


@pytest.mark.parametrize(("model", "expected"), [(Noisy(), True), (Linear(), False), (Quantised(), False)])
def test_networks_that_draw_are_found_and_no_random_number_is_used_up(model, expected):
    before = torch.random.get_rng_state()
    x = torch.rand(8, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    assert draws_random_numbers(model, x) is expected
    assert torch.equal(torch.random.get_rng_state(), before)


def test_dropout_that_is_off_in_evaluation_is_no_randomness():
    x = torch.rand(8, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    assert draws_random_numbers(tiny_classifier().train(), x) is False


@pytest.mark.parametrize(
    ("draws", "attacks", "state"),
    [
        (False, [FoolboxFGSM()], "passed"),
        (True, [FoolboxFGSM(), APGD()], "failed"),
        (True, [FoolboxFGSM(), APGD(passes=5)], "passed"),
        (True, [AutoAttack(version="rand")], "passed"),
        (True, [AutoAttack()], "failed"),
    ],
)
def test_a_random_network_needs_an_attack_that_averages(draws, attacks, state):
    found = random_check(attacks, draws)
    assert (found["check"], found["state"]) == ("random", state)
    assert ("no attack averages" in found["message"]) is (state == "failed")


def test_autoattack_for_random_networks_averages_twenty_passes_on_two_losses(monkeypatch):
    seen = []
    monkeypatch.setattr("dsrna.evaluation.autoattack_engine._run", lambda ensemble, x, y: (seen.append(ensemble), x)[1])
    x = torch.rand(2, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    AutoAttack(version="rand").run(tiny_classifier(), x, torch.zeros(2, dtype=torch.int64), WIDE, seed=0)
    (ensemble,) = seen
    assert ensemble.attacks_to_run == ["apgd-ce", "apgd-dlr"]
    assert ensemble.apgd.eot_iter == 20
