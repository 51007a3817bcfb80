"""Every gradient-masking check fails on a network built to mask gradients, and only there."""

import pytest
import torch
from torch import nn

from dsrna.evaluation import APGD, FoolboxFGSM, FoolboxPGD, Square, evaluate
from dsrna.evaluation.masking import MEANINGS, Measurement, masking_checks
from dsrna.types import Threat
from tests.thorough import thorough

CHECKS = set(MEANINGS) - {"transfer"}
"""Those of one network alone."""

ATTACKS = (FoolboxFGSM(), FoolboxPGD(steps=20), FoolboxPGD(steps=100), Square(queries=500))


class Ensemble(FoolboxPGD):
    """Stands for AutoAttack, which is compared for what it is, whatever it does."""

    kind = "ensemble"


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


class Combed(Linear):
    """A ripple that vanishes on images of whole 255ths, in value but not in slope: gradients are right there alone."""

    def scores(self, x):
        return super().scores(x + 0.003 * torch.sin(2 * torch.pi * 255 * x))


class Recalling(Linear):
    """After some queries it answers for the nearest image it knows, as defences do that look out for attacks."""

    def __init__(self, patience):
        super().__init__()
        self.patience = patience
        self.known = Images().x.flatten(1)

    def scores(self, x):
        self.patience -= 1
        if self.patience >= 0:
            return super().scores(x)
        return super().scores(self.known[torch.cdist(x.detach().flatten(1), self.known).argmin(1)]) + 0 * x.sum()


class Constant(Linear):
    """Ignores its input."""

    def scores(self, x):
        return 0 * super().scores(x) + 1


class Images:
    classes = 2

    def __init__(self, images=60):
        self.x = torch.rand(images, 1, 6, 6, generator=torch.Generator().manual_seed(1)).mul(255).round() / 255
        self.labels = Linear()(self.x).argmax(1)

    def __len__(self):
        return len(self.x)

    def batch(self, indices):
        return self.x[indices], self.labels[indices]


class Chosen(Images):
    """So many images of each class."""

    def __init__(self, first, second):
        super().__init__(300)
        order = self.labels.argsort(stable=True)
        kept = torch.cat([order[:first], order[-second:]])
        self.x, self.labels = self.x[kept], self.labels[kept]


def checks_of(model, folder, attacks=ATTACKS, threat=None, data=None):
    """Check -> (state, message)."""
    threat = threat or Threat("linf", 10 / 255)
    result = evaluate(model, data or Images(), attacks, threat, seed=0, batch_size=60, folder=folder)
    assert [one["check"] for one in result["checks"]] == [*MEANINGS, "random", "gradients", "uphill"]
    return {one["check"]: (one["state"], one["message"]) for one in result["checks"] if one["check"] in CHECKS}


def those(checks, state):
    return {check for check, (found, _) in checks.items() if found == state}


@pytest.mark.slow
@pytest.mark.parametrize("model", [Saturated(), Quantised()], ids=["saturated", "quantised"])
def test_networks_without_gradients_are_found_out(model, tmp_path):
    found = checks_of(model, tmp_path)
    assert those(found, "failed") == {"black_box", "large_eps"}
    assert those(found, "passed") == {"steps", "single_step"}
    assert those(found, "not run") == {"autoattack"}
    assert "eps 0.5" in found["large_eps"][1]
    assert "Square" in found["black_box"][1]


@pytest.mark.slow
def test_a_network_whose_gradients_are_right_at_images_alone_is_found_out(tmp_path):
    on_the_comb = FoolboxPGD(steps=20, random_start=False, step_size=2 / 255, key="comb")
    found = checks_of(Combed(), tmp_path, (FoolboxFGSM(), on_the_comb, FoolboxPGD(steps=100)))
    assert found["steps"][0] == "failed"
    found = checks_of(Combed(), tmp_path / "alone", (FoolboxFGSM(), FoolboxPGD(steps=20), Square(queries=500)))
    assert {"single_step", "black_box"} <= those(found, "failed")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attacks", "patience", "check"),
    [
        ((FoolboxFGSM(), FoolboxPGD(steps=20)), 6, "single_step"),
        ((FoolboxPGD(steps=20), FoolboxPGD(steps=100)), 40, "steps"),
        ((FoolboxPGD(steps=20), Ensemble(steps=100)), 40, "autoattack"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_network_that_notices_long_attacks_is_found_out(attacks, patience, check, tmp_path):
    assert check in those(checks_of(Recalling(patience), tmp_path, attacks), "failed")


def test_masking_is_found_out_in_l2(tmp_path):
    found = checks_of(Saturated(), tmp_path, ATTACKS[:1], Threat("l2", 0.2))
    assert those(found, "failed") == {"large_eps"}
    assert "l2 eps 3" in found["large_eps"][1]  # half the diagonal of 36 values


@pytest.mark.slow
@pytest.mark.parametrize("threat", [Threat("linf", 0.01), thorough(Threat("l2", 0.06))], ids=str)
def test_a_linear_network_passes_all(threat, tmp_path):
    assert those(checks_of(Linear(), tmp_path, (*ATTACKS, Ensemble(steps=50)), threat), "passed") == CHECKS


def test_checks_whose_attacks_are_missing_are_not_run_and_say_which(tmp_path):
    found = checks_of(Linear(), tmp_path, (FoolboxPGD(steps=20),))
    assert those(found, "not run") == {"steps", "single_step", "autoattack", "black_box"}
    for check, attack in {"steps": "more steps", "single_step": "FGSM", "autoattack": "AutoAttack"}.items():
        assert attack in found[check][1]
    assert those(found, "passed") == {"large_eps"}


@pytest.mark.slow
def test_a_comparison_that_could_not_fail_is_not_run(tmp_path):
    found = checks_of(Linear(), tmp_path / "6", data=Chosen(3, 3))
    assert those(found, "not run") == CHECKS - {"large_eps"}
    assert "too few images" in found["steps"][1]
    assert those(checks_of(Linear(), tmp_path / "7", data=Chosen(3, 4)), "passed") >= {"steps", "single_step"}


@pytest.mark.slow
def test_a_network_at_chance_passes_nothing(tmp_path):
    found = checks_of(Constant(), tmp_path)
    assert those(found, "not run") == CHECKS
    assert all("at chance level" in message for _, message in found.values())


class MostFrequent(Linear):
    """Knows which class is the most frequent, and nothing else."""

    def scores(self, x):
        return 0 * super().scores(x) - 1


def test_guessing_the_most_frequent_class_is_chance(tmp_path):
    for number, (model, state) in enumerate([(MostFrequent(), "not run"), (Linear(), "passed")]):
        result = evaluate(
            model,
            Chosen(20, 60),
            ATTACKS[:2],
            Threat("linf", 0.04),
            seed=0,
            batch_size=80,
            folder=tmp_path / str(number),
        )
        assert result["guessing"] == 0.75
        assert result["checks"][-4]["state"] == state


def measurement(kind, steps, broken, images=1000, restarts=1):
    """An attack that breaks the images in ``broken``."""
    outcomes = torch.ones(images, dtype=torch.bool)
    outcomes[list(broken)] = False
    accuracy = outcomes.float().mean().item()
    record = {"label": f"{kind} {steps}", "steps": steps, "accuracy": accuracy, "norm": "linf", "eps": 0.5}
    record |= {"images": images, "restarts": restarts, "interval": [accuracy - 0.01, accuracy + 0.01]}
    return Measurement(record, kind, outcomes)


CLEAN = measurement("multi_step", 0, ())
FALLEN = measurement("multi_step", 20, range(1000))


def failed(measurements, at_large_eps=FALLEN):
    checks = masking_checks(measurements, at_large_eps, CLEAN.record, CLEAN.outcomes, 0.1)
    return [one["check"] for one in checks if one["state"] == "failed"]


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
        return failed([measurement(*weaker, broken_by_weaker), measurement(*stronger, broken_by_stronger)])

    assert checks(range(300), range(200)) == [check]
    assert checks(range(200), range(300)) == []
    assert checks(range(206), range(200)) == []  # 6 of 6: 1.6 %, within the tolerance
    assert checks(range(207), range(200)) == [check]  # 7 of 7: 0.8 %
    assert checks(range(110), range(100, 200)) == []  # 100 against 90 is chance


def test_numbers_are_of_the_images_that_both_attacks_saw():
    few = measurement("ensemble", 100, range(10), images=40)
    entry = masking_checks(
        [measurement("multi_step", 20, range(10, 500)), few], FALLEN, CLEAN.record, CLEAN.outcomes, 0.1
    )[2]
    assert (entry["check"], entry["state"]) == ("autoattack", "failed")
    assert "multi_step 20 25.0% and ensemble 100 75.0% of 40 images stay correct" in entry["message"]


def test_more_restarts_excuse_an_attack_of_fewer_steps():
    more_steps = measurement("multi_step", 100, range(200))
    assert failed([measurement("multi_step", 20, range(300), restarts=50), more_steps]) == []
    assert failed([measurement("multi_step", 20, range(300)), more_steps]) == ["steps"]


def test_steps_on_another_loss_are_not_compared():
    """DLR with 30 steps breaks less than the cross-entropy with 20: the loss may be the weaker one there."""
    weaker = measurement("multi_step", 30, range(200))
    assert failed([measurement("multi_step", 20, range(300)), weaker]) == ["steps"]
    assert failed([measurement("multi_step", 20, range(300)), weaker._replace(maximises="dlr")]) == []


def test_the_loss_of_an_attack_is_what_its_steps_are_compared_by():
    assert [attack.maximises for attack in (FoolboxPGD(), APGD(), APGD(loss="dlr"))] == [
        "cross_entropy", "cross_entropy", "dlr",
    ]  # fmt: skip


def test_every_pair_of_step_counts_is_compared():
    """Not neighbours alone: 20 and 50 steps are alike, and 100 break less than 20 did."""
    attacks = [measurement("multi_step", steps, range(broken)) for steps, broken in ((20, 207), (50, 203), (100, 200))]
    assert failed(attacks) == ["steps"]


def test_accuracy_at_the_large_eps_may_be_that_of_guessing():
    assert failed([], measurement("multi_step", 20, range(900))) == []
    assert failed([], measurement("multi_step", 20, range(895))) == []
    assert failed([], measurement("multi_step", 20, range(880))) == ["large_eps"]
