"""The worst case over attacks, against a count by hand."""

import json

import pytest
import torch
from scipy.stats import binomtest

from dsrna.evaluation.base import EvaluationAttack
from dsrna.evaluation.evaluator import evaluate
from dsrna.evaluation.foolbox_engine import FoolboxFGSM
from dsrna.evaluation.masking import Measurement
from dsrna.evaluation.worst_case import worst_case
from dsrna.types import Threat


def measurement(attack: str, outcomes: str) -> Measurement:
    record = {"attack": attack, "norm": "l2", "eps": 0.5, "seed": 3}
    return Measurement(record, "multi_step", torch.tensor([one == "1" for one in outcomes]))


def test_an_image_counts_where_no_attack_that_saw_it_broke_it():
    (record,) = worst_case([measurement("a", "11011011"), measurement("b", "011"), measurement("c", "11111110")])
    interval = binomtest(4, 8).proportion_ci(0.95, method="wilson")
    assert (record["accuracy"], record["images"]) == (4 / 8, 8)  # 1, 4, 6 (from 0) and what b didn't see
    assert record["interval"] == pytest.approx([interval.low, interval.high])
    assert (record["attack"], record["norm"], record["eps"], record["seed"]) == ("worst_case", "l2", 0.5, 3)
    assert record["attacks"] == ["a", "b", "c"]


@pytest.mark.parametrize("outcomes", [[], ["1101"]])
def test_one_attack_has_no_worst_case(outcomes):
    assert worst_case([measurement("a", one) for one in outcomes]) == []


def test_the_outcomes_of_the_attacks_are_left_as_they_are():
    first, second = measurement("a", "11"), measurement("b", "0")
    worst_case([first, second])
    assert first.outcomes.tolist() == [True, True]


class Half(torch.nn.Module):
    """Class 1 where the mean pixel is above one half."""

    def forward(self, x):
        mean = x.mean(dim=(1, 2, 3)) - 0.5
        return torch.stack([-mean, mean], dim=1)


class Up(EvaluationAttack):
    """Brightens by eps: breaks images of class 0 alone."""

    kind = "multi_step"
    sign = 1

    def search(self, model, x, y, threat, seed):
        return (x + self.sign * threat.eps).clamp(0, 1)

    def procedure(self, threat):
        return FoolboxFGSM().procedure(threat)

    def names(self):
        return ("up" if self.sign == 1 else "down"), "Way"


class Down(Up):
    sign = -1


class Images:
    shape, classes = (1, 2, 2), 2
    x = torch.tensor([0.2, 0.45, 0.48, 0.55, 0.7, 0.52]).reshape(6, 1, 1, 1).expand(6, 1, 2, 2)
    labels = y = torch.tensor([0, 0, 0, 1, 1, 1])

    def __len__(self):
        return 6

    def batch(self, indices):
        return self.x[indices], self.y[indices]


def test_in_an_evaluation(tmp_path):
    result = evaluate(
        Half(), Images(), [Up(), Down(images=5)], Threat("linf", 0.1), seed=0, batch_size=4, folder=tmp_path
    )
    up, down, worst = result["records"]
    assert (up["accuracy"], down["accuracy"]) == (4 / 6, 4 / 5)
    assert worst["accuracy"] == 3 / 6  # the first, the fifth, and the last, which none that could break it saw
    assert worst["attacks"] == ["up", "down"]
    assert not list(tmp_path.glob("worst*"))
    json.dumps(result, allow_nan=False)
