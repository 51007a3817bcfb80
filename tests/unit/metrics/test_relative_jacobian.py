"""The Jacobian norm in units of the logits' spread, against its formula by double backward."""

from itertools import pairwise

import pytest
import torch

from dsrna.errors import ConfigError
from dsrna.metrics.relative_jacobian import RelativeJacobian
from dsrna.testing.metric_conformance import check_metric
from dsrna.testing.tiny_networks import linear_network, smooth_network, tiny_images

LENGTH = {"linf": lambda g: g.abs().sum(-1), "l2": lambda g: g.square().sum(-1).sqrt()}


def formula(logits, y, reach):
    """One image after the other."""
    found = []
    for row, label, r in zip(logits, y.tolist(), reach, strict=True):
        centred = row - row.sum() / len(row)
        spread = sum(c**2 for c in centred) ** 0.5
        found.append((centred[label] - r) / (spread + r))
    return torch.stack(found)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 8 / 255), ("l2", 0.5)])
def test_it_conforms(norm, eps):
    def on_linear(weight, bias, x, y):
        return formula(x.flatten(1) @ weight.T + bias, y, eps * LENGTH[norm](weight).mean().expand(len(x)))

    check_metric(RelativeJacobian(norm, eps), on_linear, smooth_network)


@pytest.mark.parametrize("norm", LENGTH)
@pytest.mark.parametrize("derivative", ["autograd", "central_difference"])
def test_scores_and_alpha_gradients_are_those_of_double_backward(norm, derivative):
    model, x = smooth_network(), tiny_images(8)
    y = torch.arange(8) % 3
    metric = RelativeJacobian(norm, 0.1, derivative=derivative, difference_step=1e-4)
    found = metric(model, x, y)
    images = x.clone().requires_grad_()
    logits = model.eval()(images)
    rows = [torch.autograd.grad(f.sum(), images, create_graph=True)[0].flatten(1) for f in logits.unbind(1)]
    expected = formula(logits, y, 0.1 * LENGTH[norm](torch.stack(rows)).mean(0))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    gradients = [torch.autograd.grad(scores.mean(), model.alphas)[0] for scores in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("classes", [2, 3, 10])
@torch.no_grad()
def test_what_ignores_its_input_scores_0_at_most_in_the_mean_over_the_classes(classes):
    draw = torch.Generator().manual_seed(0)
    x, y = tiny_images(classes), torch.arange(classes)
    weight = torch.randn(classes, 72, generator=draw, dtype=torch.float64)
    for _ in range(20):
        bias = 5 * torch.randn(classes, generator=draw, dtype=torch.float64)
        assert RelativeJacobian()(linear_network(0 * weight, bias), x, y).mean().abs() < 1e-9
        assert RelativeJacobian()(linear_network(1e-4 * weight, bias), x, y).mean() < 1e-3
    assert RelativeJacobian()(linear_network(0 * weight), x, y).tolist() == [-1.0] * classes
    assert RelativeJacobian()(linear_network(0 * weight, 5 + 0 * bias), x, y).tolist() == [-1.0] * classes


@torch.no_grad()
def test_it_falls_with_the_jacobian_whichever_class_is_right():
    weight = torch.randn(3, 72, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for label in range(3):
        scores = [
            RelativeJacobian("linf", eps)(linear_network(weight), tiny_images(), torch.full((4,), label))
            for eps in (1e-6, 1e-3, 0.1, 10.0)
        ]
        assert all(bool((more < less).all()) for less, more in pairwise(scores))
        assert all(bool(((score >= -1) & (score <= 1)).all()) for score in scores)


def test_what_is_out_of_range_is_refused():
    with pytest.raises(ConfigError, match="conf: eps"):
        RelativeJacobian(eps=0.0)
    with pytest.raises(ConfigError, match="projection"):
        RelativeJacobian("linf", estimator="projection")
