"""Several threat models in one evaluation, and l_1 balls."""

import json
from dataclasses import dataclass

import pytest
import torch

from dsrna.errors import UnsupportedError
from dsrna.evaluation import APGD, AutoAttack, FoolboxFGSM, FoolboxPGD, Square, evaluate
from dsrna.evaluation.base import EvaluationAttack
from dsrna.types import Threat
from tests.thorough import thorough
from tests.unit.evaluation.test_engines import images, linear_network
from tests.unit.evaluation.test_evaluator import Images, without_seconds


@dataclass(frozen=True, kw_only=True)
class Pixels(EvaluationAttack):
    """Moves one pixel after the other as far as an l_1 ball allows: on a linear network nothing does better."""

    kind = "black_box"
    norms = ("l1",)

    def names(self):
        return "pixels", "Pixels"

    def procedure(self, threat):
        return FoolboxFGSM().procedure(threat)

    def search(self, model, x, y, threat, seed):
        found = x.clone()
        for place in range(x[0].numel()):
            for sign in (-1, 1):
                moved = x.flatten(1).clone()
                moved[:, place] += sign * threat.eps
                moved = moved.view_as(x).clamp(0, 1)
                fooled = model(moved).argmax(1) != y
                found[fooled] = moved[fooled]
        return found


@pytest.mark.parametrize("attack", [APGD(steps=30), thorough(AutoAttack()), Pixels()], ids=lambda one: one.key)
def test_in_l1_two_classes_have_the_closed_form(attack):
    """|w|_inf eps: the dual norm of the difference of two rows."""
    model, x = linear_network(2), images()
    y, threat = model(x).argmax(1), Threat("l1", 0.25)
    weight = model[1].weight.detach()
    logits = model(x).detach()
    slack = (logits[:, 0] - logits[:, 1]).abs() - threat.eps * (weight[0] - weight[1]).abs().max()
    decided = slack.abs() > 0.02
    assert 0.2 < (slack > 0).float().mean() < 0.8
    assert torch.equal(attack.run(model, x, y, threat, seed=0)[decided], (slack > 0)[decided])


def test_an_attack_that_does_not_know_a_norm_refuses_it():
    with pytest.raises(UnsupportedError, match="FGSM searches balls of the norms linf, l2, got l1"):
        FoolboxFGSM().run(linear_network(2), images(), torch.zeros(24, dtype=torch.int64), Threat("l1", 1.0), seed=0)


@pytest.mark.slow
def test_further_threats_have_the_numbers_of_evaluations_in_them(tmp_path):
    model, attacks = linear_network_of(Images()), [FoolboxFGSM(), FoolboxPGD(steps=3), Square(queries=20)]
    l2, l1 = Threat("l2", 0.3), Threat("l1", 2.0)

    def result(threat, others, attacks=attacks):
        folder = tmp_path / f"{threat.norm}{len(others)}"
        return without_seconds(
            evaluate(model, Images(), attacks, threat, seed=0, batch_size=25, folder=folder, threats=others)
        )

    together = result(Threat("linf", 0.03), [l2, l1])
    assert together | {"further": []} == result(Threat("linf", 0.03), [])
    in_l1 = [record for record in together["further"] if record["norm"] == "l1"]
    assert [record["attack"] for record in in_l1] == ["square"]  # of one attack there is no worst case
    assert together["further"][:-1] == result(l2, [])["records"]
    assert [record["attack"] for record in together["further"][:-1]] == ["fgsm", "pgd3", "square", "worst_case"]
    outcomes = [
        json.loads((tmp_path / "linf2" / f"{name}_l2_0.3.json").read_text())["outcomes"]
        for name in ("fgsm", "pgd3", "square")
    ]
    standing = sum(set(column) == {"1"} for column in zip(*outcomes, strict=True))
    assert together["further"][3]["accuracy"] == standing / 25


def linear_network_of(data):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(72, 3))
    data.y[:] = model(data.x).argmax(1)
    return model
