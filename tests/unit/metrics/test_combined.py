"""The combined metric against its two parts."""

import pytest
import torch
from torch.nn import functional as F

from dsrna.errors import ConfigError
from dsrna.metrics.certified import Certified
from dsrna.metrics.combined import Combined
from dsrna.metrics.jacobian import JacobianNorm
from dsrna.testing.metric_conformance import check_metric
from dsrna.testing.tiny_networks import TinyMixedNetwork, tiny_images

Y = torch.tensor([0, 1, 2, 0])


def network():
    return TinyMixedNetwork(readout=F.relu)


def draw():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("of_jacobian", [0.0, 0.5])
def test_conformance(of_jacobian):
    metric = Combined(of_jacobian, 2.0, derivative="autograd")

    def by_hand(weight, bias, x, y):
        """Of interval bounds, in the mean over the wrong classes: see the definitions of the two parts."""
        logits = x.flatten(1) @ weight.T + bias
        lower = []
        for image, label in zip(logits, y.tolist(), strict=True):
            others = [j for j in range(3) if j != label]
            slopes = (weight[label] - weight[others]).abs().sum(1)
            lower.append((image[label] - image[others] - metric.numbers["eps"] * slopes).mean())
        certified = (torch.stack(lower) / logits.std(dim=1, correction=0)).asinh()
        return -of_jacobian * weight.norm(dim=1).mean() + 2.0 * certified

    check_metric(metric, by_hand, network)


@pytest.mark.parametrize(("of_jacobian", "of_certified"), [(1.0, 1.0), (0.1, 3.0), (0.0, 2.0), (2.0, 0.0)])
def test_it_is_the_weighted_sum_of_values_and_gradients(of_jacobian, of_certified):
    model, x = network(), tiny_images()
    metric = Combined(of_jacobian, of_certified, jacobian_norm="linf", norm="l2", form="radius", eps=0.02)
    jacobian = JacobianNorm("linf", "classes", derivative="central_difference")
    certified = Certified("l2", "ibp", "radius", eps=0.02)

    def score_and_gradient(score):
        return score, torch.autograd.grad(score.sum(), model.alphas)[0]

    expected = of_jacobian * jacobian(model, x, Y, draw()) + of_certified * certified(model, x, Y)
    found = metric(model, x, Y, draw())
    for one, other in zip(score_and_gradient(found), score_and_gradient(expected), strict=True):
        torch.testing.assert_close(one, other)


def test_it_notes_and_restores_what_its_parts_do():
    model, x = network(), tiny_images()
    metric, restored = Combined(), Combined()
    scores = metric(model, x, Y, draw())
    numbers = metric.numbers
    assert numbers["score_jacobian"] + numbers["score_certified"] == pytest.approx(scores.mean().item())
    assert numbers["bound_width"] == pytest.approx(numbers["logit_spread"], rel=1e-3)
    restored.restore(numbers)
    with torch.no_grad():
        model.stem[0].weight *= 10
    for _ in range(2):
        for each in (metric, restored):
            each.advance(0.5)
            each(model, x, Y, draw())
        assert metric.numbers == restored.numbers
    assert metric.numbers["eps"] < numbers["eps"]


@pytest.mark.parametrize(
    ("arguments", "scale_free"), [({}, False), ({"jacobian_weight": 0.0}, True), ({"certified_weight": 0.0}, False)]
)
def test_it_says_what_its_parts_say(arguments, scale_free):
    metric = Combined(**arguments)
    assert (metric.scale_free, metric.rewards_ignoring_the_input) == (scale_free, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"jacobian_weight": -1.0}, r"`jacobian_weight` >= 0, got -1.0. \(conf: jacobian_weight\)"),
        ({"certified_weight": float("inf")}, "`certified_weight` >= 0, got inf"),
        ({"jacobian_weight": 0.0, "certified_weight": 0.0}, "use `metric: none`"),
        ({"jacobian_norm": "l3"}, r"got 'l3'. \(conf: jacobian_norm\)"),
        ({"estimator": "projection", "jacobian_norm": "linf"}, "estimates the l_2 norm"),
        ({"eps": 8}, r"got 8. \(conf: eps\)"),
        ({"batch_norm": "batch"}, "running statistics alone"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Combined(**arguments)
