"""The conformance suite of bound engines refuses each of these mistakes, and says which."""

import copy

import pytest
import torch
from torch import nn

from dsrna.bounds.engine import Bounds
from dsrna.bounds.ibp import IBP
from dsrna.testing.bound_conformance import check_bounds, check_bounds_or_refusal, check_gradient, check_linear_network

ENGINE = IBP("linf")


def small_network():
    torch.manual_seed(0)
    layers = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3)
    nn.init.normal_(layers[1].running_mean, std=0.3)
    return nn.Sequential(*layers).double()


def check(bound):
    """Both parts of the suite: a nonlinear network hides what its bounds' slack covers, a linear one has none."""
    check_bounds(bound, "linf", small_network(), images(), 0.06)
    check_linear_network(bound, "linf")


def images():
    return torch.rand(3, 2, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def on_bounds(change):
    """IBP whose ends become ``change(bounds, x, radii)``."""

    def bound(model, x, eps, y):
        return Bounds(*change(ENGINE(model, x, eps, y), x, torch.as_tensor(eps, dtype=x.dtype).expand(len(x))[:, None]))

    return bound


def of_its_mode(model, x, eps, y):
    lower, upper = ENGINE(model, x, eps, y)
    return lower, upper + 0.1 * any(module.training for module in model.modules())


def first_class_for_all(model, x, eps, y):
    return ENGINE(model, x, eps, None if y is None else torch.zeros_like(y))


def of_predicted_classes(model, x, eps, y):
    return ENGINE(model, x, eps, None if y is None else copy.deepcopy(model).eval()(x).argmax(1))


def margins_in_another_order(model, x, eps, y):
    lower, upper = ENGINE(model, x, eps, y)
    return (lower, upper) if y is None else Bounds(lower.flip(1), upper.flip(1))


def forgets_its_flags(model, x, eps, y):
    model.requires_grad_(True)
    return ENGINE(model, x, eps, y)


def evaluation_mode_stays(model, x, eps, y):
    model.eval()
    return ENGINE(model, x, eps, y)


def gradients_stay(model, x, eps, y):
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return ENGINE(model, x, eps, y)


def folds_in_place(model, x, eps, y):
    bounds = ENGINE(model, x, eps, y)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.mul_(0.5)
    return bounds


def draws(model, x, eps, y):
    torch.rand(1)
    return ENGINE(model, x, eps, y)


def careless_after_an_error(model, x, eps, y):
    modes = [(module, module.training) for module in model.modules()]
    model.eval()(x)
    for module, mode in modes:
        module.training = mode
    return ENGINE(model, x, eps, y)


MISTAKES = {
    "shrunk": (on_bounds(lambda b, x, r: (0.6 * b[0] + 0.4 * b[1], 0.4 * b[0] + 0.6 * b[1])), "(below|above) the"),
    "one end shrunk": (on_bounds(lambda b, x, r: (b[0], 0.5 * b[0] + 0.5 * b[1])), "above the upper end"),
    "a hair too tight": (on_bounds(lambda b, x, r: (b[0] + 0.05 * (b[1] - b[0]), b[1])), "logits"),
    "not tight": (on_bounds(lambda b, x, r: (b[0] - 0.01, b[1] + 0.01)), "not tight at eps 0"),
    "ends exchanged": (on_bounds(lambda b, x, r: (b[1], b[0])), "(below|above) the"),
    "mixes images": (on_bounds(lambda b, x, r: (b[0].amin(0).expand_as(b[0]), b[1])), "not tight at eps 0"),
    "the widest ball for all": (on_bounds(lambda b, x, r: (b[0] - (r.amax() - r), b[1])), "depends on batch mates"),
    "narrower for a larger eps": (on_bounds(lambda b, x, r: (b[0] - 1e3 * r * (0.06 - r), b[1])), "rises with eps"),
    "of the first class": (first_class_for_all, "margins: not tight at eps 0"),
    "of the class that is predicted": (of_predicted_classes, "margins: not tight at eps 0"),
    "margins in another order": (margins_in_another_order, "margins: not tight at eps 0"),
    "half the ball": (lambda model, x, eps, y: ENGINE(model, x, 0.5 * eps, y), "logits"),
    "a Euclidean ball": (IBP("l2"), "logits"),
    "of its mode": (of_its_mode, "depend on the network's mode"),
    "forgets its flags": (forgets_its_flags, "requires_grad flags"),
    "evaluation mode stays": (evaluation_mode_stays, "training flags"),
    "gradients stay": (gradients_stay, r"\.grad (changed|was left behind)"),
    "folds in place": (folds_in_place, "running_mean changed"),
    "draws": (draws, "global random numbers were drawn"),
    "careless after an error": (careless_after_an_error, "training flags"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_suite_refuses(name):
    bound, message = MISTAKES[name]
    with pytest.raises(AssertionError, match=message):
        check(bound)


def test_the_suite_accepts_what_the_mistakes_start_from():
    check(ENGINE)
    check_gradient(ENGINE, small_network(), images(), 0.06)


def test_a_network_that_is_neither_followed_nor_refused():
    class Sines(nn.Module):
        def forward(self, x):
            return x.sin()

    network = nn.Sequential(*small_network()[:3], Sines(), nn.Flatten(), nn.Linear(80, 3).double())
    assert not check_bounds_or_refusal(ENGINE, "linf", network, images(), 0.06)

    def ignores_it(model, x, eps, y):
        plain = nn.Sequential(*(layer for layer in model if not isinstance(layer, Sines)))
        return ENGINE(plain, x, eps, y)

    with pytest.raises(AssertionError, match="not tight"):
        check_bounds_or_refusal(ignores_it, "linf", network, images(), 0.06)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(
    "change", [lambda eps: 1.1 * eps, lambda eps: 0.9 * eps], ids=["looser", "tighter than is possible"]
)
def test_a_linear_network_is_bounded_exactly(norm, change):
    engine = IBP(norm)
    check_linear_network(engine, norm)
    with pytest.raises(AssertionError, match=r"logits|margins"):
        check_linear_network(lambda model, x, eps, y: engine(model, x, change(eps), y), norm)


def test_a_ball_that_leaves_the_box_is_looser_than_it_has_to_be():
    """Of two pixels, one lies near 1: without the box its interval is symmetric."""

    def uncut(model, x, eps, y):
        lower, upper = IBP("linf")(model, 0.5 * x, 0.5 * eps, y)
        still = model(0.5 * x) if y is None else None
        if still is None:
            return lower, upper
        return 2 * (lower - still) + model(x), 2 * (upper - still) + model(x)

    with pytest.raises(AssertionError, match="logits"):
        check_linear_network(uncut, "linf")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b, x, r: (b[0].detach(), b[1].detach()), "no gradient"),
        (lambda b, x, r: (2 * b[0] - b[0].detach(), b[1]), "the gradient to the weights is not"),
        (lambda b, x, r: (b[0], b[0].detach() + b[1] - b[0]), "the gradient to the weights is not"),
    ],
    ids=["detached", "doubled", "of the width"],
)
def test_a_gradient_that_is_not_that_of_the_bounds(change, message):
    with pytest.raises(AssertionError, match=message):
        check_gradient(on_bounds(change), small_network(), images(), 0.06)
