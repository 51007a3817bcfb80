"""Each evaluation attack against the closed form on linear networks, and what it leaves behind."""

import random
import sys

import numpy as np
import pytest
import torch
from torch import nn

from dsrna.errors import ConfigError, DataError, NonFiniteError, UnsupportedError
from dsrna.evaluation import APGD, AutoAttack, CarliniWagner, FoolboxFGSM, FoolboxPGD, Square
from dsrna.evaluation.base import EvaluationAttack, Procedure
from dsrna.testing.attack_conformance import tiny_classifier
from dsrna.types import Threat
from tests.thorough import thorough

EXACT = {
    "fgsm": FoolboxFGSM(),
    "pgd": FoolboxPGD(steps=20, restarts=2),
    "cw": CarliniWagner(steps=100),
    "autoattack": AutoAttack(),
    "apgd": APGD(steps=30),
}
THREATS = {"linf": Threat("linf", 0.012), "l2": Threat("l2", 0.06)}


def linear_network(classes, seed=0):
    """Logits W (x - 0.5) with rows of unequal length."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, classes))
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(classes, 36, generator=draw))
        model[1].bias.copy_(-0.5 * model[1].weight.sum(1))
    return model


def closed_form(model, x, y, threat):
    """Robust exactly where every margin exceeds eps times the dual norm of the weight difference."""
    weight = model[1].weight.detach()
    logits = model(x).detach()
    robust, nearest = [], []
    for image, label in enumerate(y.tolist()):
        slack = []
        for other in range(len(weight)):
            if other != label:
                difference = weight[label] - weight[other]
                dual = difference.abs().sum() if threat.norm == "linf" else difference.norm()
                slack.append((logits[image, label] - logits[image, other] - threat.eps * dual).item())
        robust.append(min(slack) > 0)
        nearest.append(min(map(abs, slack)))
    return torch.tensor(robust), torch.tensor(nearest) > 0.02


def images(count=24, seed=3):
    """In the middle of the box, so that the ball lies inside it."""
    return 0.3 + 0.4 * torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("norm", THREATS)
@pytest.mark.parametrize("name", [thorough(name) if name == "autoattack" else name for name in EXACT])
def test_two_classes_have_the_closed_form(name, norm):
    model, x, threat = linear_network(2), images(), THREATS[norm]
    y = model(x).argmax(1)
    expected, decided = closed_form(model, x, y, threat)
    assert 0.2 < expected.float().mean() < 0.8
    robust = EXACT[name].run(model, x, y, threat, seed=0)
    assert torch.equal(robust[decided], expected[decided])


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "norm"), [(3, "l2"), (4, "linf"), thorough(3, "linf"), thorough(4, "l2")])
def test_autoattack_finds_everything_with_few_classes(classes, norm):
    model, x, threat = linear_network(classes, seed=classes), images(12), THREATS[norm]
    y = model(x).argmax(1)
    expected, decided = closed_form(model, x, y, threat)
    assert expected.any()
    assert not expected.all()
    assert torch.equal(AutoAttack().run(model, x, y, threat, seed=0)[decided], expected[decided])


def test_square_stays_above_the_closed_form_and_breaks_something():
    model, x, threat = linear_network(2), images(), THREATS["linf"]
    y = model(x).argmax(1)
    expected, decided = closed_form(model, x, y, threat)
    robust = Square(queries=400).run(model, x, y, threat, seed=0)
    assert (robust >= expected)[decided].all()
    assert not robust.all()


ALL = {**EXACT, "square": Square(queries=50)}


@pytest.mark.slow
@pytest.mark.parametrize("norm", THREATS)
@pytest.mark.parametrize("name", ALL)
def test_network_and_global_state_stay_as_they_were(name, norm):
    model = tiny_classifier()
    model[1].eval()
    weight, bias = model[0].parameters()
    bias.requires_grad_(False)
    weight.grad = torch.ones_like(weight)
    draw = torch.Generator().manual_seed(0)
    x, y = torch.rand(4, 2, 6, 6, generator=draw), torch.randint(3, (4,), generator=draw)
    threat = Threat(norm, {"linf": 0.1, "l2": 0.6}[norm])
    modes = [module.training for module in model.modules()]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()

    def trace(*_):
        return None

    outer = sys.gettrace()
    sys.settrace(trace)
    try:
        first = ALL[name].run(model, x, y, threat, seed=5)
        assert sys.gettrace() is trace
    finally:
        sys.settrace(outer)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[1].tolist(), random.getstate())
    assert [module.training for module in model.modules()] == modes
    assert not bias.requires_grad
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert [parameter.grad is None for parameter in model.parameters()] == [False, True, True, True, True, True]
    assert (weight.grad == 1).all()
    torch.rand(3)  # another state of the global generator
    assert torch.equal(first, ALL[name].run(model, x, y, threat, seed=5))
    with torch.inference_mode():
        assert torch.equal(first, ALL[name].run(model, x.clone(), y.clone(), threat, seed=5))


class _Fixed(EvaluationAttack):
    """Claims an example of its own."""

    kind = "multi_step"

    def __init__(self, example):
        super().__init__(key="fixed", label="Fixed")
        object.__setattr__(self, "example", example)

    def names(self):
        return "fixed", "Fixed"

    def procedure(self, threat):
        return Procedure("dsrna", 1)

    def search(self, model, x, y, threat, seed):
        return self.example(x)


@pytest.mark.parametrize(
    ("example", "robust"),
    [
        (lambda x: x, True),
        (lambda x: x - 0.04, False),
        (lambda x: x - 0.0500001, False),  # of the ball, up to rounding
    ],
)
def test_no_librarys_word_is_taken(example, robust):
    x, y = torch.full((1, 1, 1, 1), 0.5), torch.tensor([1])
    assert _Fixed(example).run(threshold_network(), x, y, Threat("linf", 0.05), seed=0).item() is robust


def threshold_network():
    """Class 1 for pixels above 0.47."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[-1.0], [1.0]]))
        model[1].bias.copy_(torch.tensor([0.47, -0.47]))
    return model


@pytest.mark.parametrize(
    ("example", "error", "message"),
    [
        (lambda x: torch.where(x > 0.5, torch.nan, x), NonFiniteError, "Fixed: .* image 1 of the batch of 2 is NaN"),
        # Misclassified, but moved back into the ball they are not: counted as images that withstood.
        (torch.zeros_like, UnsupportedError, r"Fixed in the ball of radius 0.02 \(linf\).* 0.5 for image 0"),
        (lambda x: x * 255, UnsupportedError, "in the ball"),
    ],
)
def test_an_attack_that_fails_is_no_sign_of_robustness(example, error, message):
    x, y = torch.tensor([0.5, 0.51]).view(2, 1, 1, 1), torch.tensor([1, 1])
    with pytest.raises(error, match=message):
        _Fixed(example).run(threshold_network(), x, y, Threat("linf", 0.02), seed=0)


def test_cw_does_not_count_the_black_image_that_stands_for_failure():
    class Stairs(nn.Module):
        """Class 0 for darker images; flat, so that no search finds them."""

        def forward(self, x):
            dark = (x.flatten(1).mean(1) < 0.009).float()
            return torch.stack([2 * dark, torch.ones_like(dark)], 1) + 0 * x.flatten(1).sum(1, keepdim=True)

    x, y = torch.full((2, 1, 4, 4), 0.01), torch.tensor([1, 1])
    # Foolbox returns a black image, out of the ball; moved into it, it would be misclassified, but nobody searched it.
    assert CarliniWagner(steps=5, binary_search_steps=2).run(Stairs(), x, y, Threat("l2", 0.03), seed=0).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ALL if name != "autoattack"])
def test_a_ball_of_one_point_holds_the_clean_image(name):
    model, x = linear_network(4), images(10)
    y = model(x).argmax(1)
    y[:3] = (y[:3] + 1) % 4
    for norm in THREATS:
        assert torch.equal(ALL[name].run(model, x, y, Threat(norm, 0.0), seed=0), model(x).argmax(1) == y)


@pytest.mark.parametrize("name", ALL)
def test_images_that_are_all_wrong_stay_wrong(name):
    model, x = linear_network(4), images(4)
    assert not ALL[name].run(model, x, (model(x).argmax(1) + 1) % 4, THREATS["linf"], seed=0).any()


def test_more_classes_than_images_or_pixels():
    model, x = linear_network(200), images(6)
    y = model(x).argmax(1)
    threat = Threat("linf", 0.004)
    expected, decided = closed_form(model, x, y, threat)
    assert 0 < expected.sum() < 6
    attack = CarliniWagner(steps=20, restarts=2)
    assert torch.equal(attack.run(model, x, y, threat, seed=0)[decided], expected[decided])


def test_more_restarts_never_break_fewer_images():
    model = tiny_classifier()
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(60, 2, 6, 6, generator=draw)
    y = model.eval()(x).argmax(1)
    counts = [
        FoolboxPGD(steps=1, restarts=restarts).run(model, x, y, Threat("linf", 0.05), 0).sum().item()
        for restarts in (1, 2, 6)
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < counts[0]


def test_empty_batch():
    x, y = torch.rand(0, 2, 6, 6), torch.zeros(0).long()
    assert AutoAttack().run(tiny_classifier(), x, y, THREATS["linf"], 0).tolist() == []


def test_names_and_procedures():
    threat = Threat("linf", 0.1)
    attack = FoolboxPGD(steps=100, restarts=5)
    assert (attack.key, attack.label) == ("pgd100x5", "PGD-100, 5 restarts")
    assert attack.procedure(threat).step_size == pytest.approx(0.0025)
    assert attack.procedure(threat).version == __import__("foolbox").__version__
    assert FoolboxPGD(key="mine", label="Mine").key == "mine"
    assert CarliniWagner().procedure(threat).engine == "dsrna"
    assert CarliniWagner().procedure(Threat("l2", 0.5)).engine == "foolbox"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FoolboxPGD(steps=0), "steps"),
        (lambda: FoolboxPGD(step_size=-1), "step_size"),
        (lambda: FoolboxPGD(restarts=2, random_start=False), "restarts"),
        (lambda: CarliniWagner(binary_search_steps=0), "binary_search_steps"),
        (lambda: CarliniWagner(initial_const=0), "initial_const"),
        (lambda: AutoAttack(version="fast"), "standard, plus"),
        (lambda: Square(queries=0), "queries"),
        (lambda: APGD(steps=0), "steps"),
    ],
)
def test_bad_settings_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_images_beyond_the_box_are_refused():
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        FoolboxFGSM().run(tiny_classifier(), torch.full((1, 2, 6, 6), 2.0), torch.zeros(1).long(), THREATS["linf"], 0)


def test_l2_square_needs_five_pixels():
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), torch.rand(1, 1, 4, 4)
    with pytest.raises(UnsupportedError, match="5 x 5"):
        AutoAttack().run(model, x, model(x).argmax(1), THREATS["l2"], 0)
