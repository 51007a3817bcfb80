"""The gradient-masking checks fire on networks built to mask gradients, and only there."""

import pytest
import torch
from torch import nn

from dsrna.evaluation import AutoAttack, FoolboxFGSM, FoolboxPGD, Square, evaluate
from dsrna.evaluation.masking import Measurement, gradient_masking_warnings
from dsrna.types import Threat

ATTACKS = (FoolboxFGSM(), FoolboxPGD(steps=20), FoolboxPGD(steps=100), Square(queries=500))


class Linear(nn.Module):
    """Two classes by W (x - 0.5), after a step that a subclass may put in front or behind."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(36, generator=torch.Generator().manual_seed(0)))

    def forward(self, x):
        score = self.scores(x)
        return torch.stack([score, -score], dim=1)

    def scores(self, x):
        return (x.flatten(1) - 0.5) @ self.weight


class Saturated(Linear):
    """The softmax is exactly 1, so that the cross-entropy is flat."""

    def scores(self, x):
        return 1e6 * super().scores(x)


class Quantised(Linear):
    """Rounding has no gradient."""

    def scores(self, x):
        return super().scores((x * 16).round() / 16)


class Images:
    classes = 2

    def __init__(self):
        self.x = torch.rand(60, 1, 6, 6, generator=torch.Generator().manual_seed(1))
        self.y = Linear()(self.x).argmax(1)

    def __len__(self):
        return len(self.x)

    def batch(self, indices):
        return self.x[indices], self.y[indices]


def warnings_of(model, folder, attacks=ATTACKS, threat=None):
    threat = threat or Threat("linf", 0.04)
    result = evaluate(model, Images(), attacks, threat, seed=0, batch_size=60, folder=folder)
    return {warning["check"]: warning["message"] for warning in result["warnings"]}


@pytest.mark.parametrize("model", [Saturated(), Quantised()], ids=["saturated", "quantised"])
def test_masked_networks_are_found_out(model, tmp_path):
    found = warnings_of(model, tmp_path)
    assert set(found) == {"black_box", "large_eps"}
    assert "eps 0.5" in found["large_eps"]
    assert "Square" in found["black_box"]


def test_masking_is_found_out_in_l2(tmp_path):
    found = warnings_of(Saturated(), tmp_path, ATTACKS[:1], Threat("l2", 0.2))
    assert list(found) == ["large_eps"]
    assert "l2 eps 3" in found["large_eps"]  # half the diagonal of 36 values


@pytest.mark.parametrize("threat", [Threat("linf", 0.01), Threat("l2", 0.06)], ids=str)
def test_linear_network_gives_no_warning(threat, tmp_path):
    assert warnings_of(Linear(), tmp_path, (*ATTACKS[:3], AutoAttack()), threat) == {}


def measurement(kind, steps, broken, images=1000):
    """An attack that breaks the images in ``broken``."""
    outcomes = torch.ones(images, dtype=torch.bool)
    outcomes[list(broken)] = False
    accuracy = outcomes.float().mean().item()
    record = {"label": f"{kind} {steps}", "steps": steps, "accuracy": accuracy, "norm": "linf", "eps": 0.5}
    return Measurement(record | {"interval": [accuracy - 0.01, accuracy + 0.01]}, kind, outcomes)


FALLEN = measurement("multi_step", 20, range(1000))


@pytest.mark.parametrize(
    ("weaker", "stronger", "check"),
    [
        (("multi_step", 20), ("multi_step", 100), "steps"),
        (("single_step", 1), ("multi_step", 20), "single_step"),
        (("multi_step", 20), ("ensemble", 100), "autoattack"),
        (("black_box", 5000), ("multi_step", 20), "black_box"),
    ],
)
def test_each_comparison_knows_its_direction_and_tolerance(weaker, stronger, check):
    def checks(broken_by_weaker, broken_by_stronger):
        pair = [measurement(*weaker, broken_by_weaker), measurement(*stronger, broken_by_stronger)]
        return [warning["check"] for warning in gradient_masking_warnings(pair, FALLEN, 10)]

    assert checks(range(300), range(200)) == [check]
    assert checks(range(200), range(300)) == []
    assert checks(range(206), range(200)) == []  # 6 of 6: 1.6 %, within the tolerance
    assert checks(range(207), range(200)) == [check]  # 7 of 7: 0.8 %
    assert checks(range(110), range(100, 200)) == []  # 100 against 90 is chance


def test_accuracy_at_the_large_eps_may_be_chance():
    def checks(broken):
        return [one["check"] for one in gradient_masking_warnings([], measurement("multi_step", 20, broken), 10)]

    assert checks(range(900)) == []
    assert checks(range(895)) == []
    assert checks(range(880)) == ["large_eps"]
