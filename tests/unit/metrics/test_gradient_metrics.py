"""Adversarial loss, loss gradient, local radius and curvature against textbook formulas by autograd in float64."""

import pytest
import torch
import torch.nn.functional as F

from dsrna.errors import ConfigError
from dsrna.metrics.adversarial_loss import AdversarialLoss
from dsrna.metrics.curvature import Curvature
from dsrna.metrics.local_radius import LocalRadius
from dsrna.metrics.loss_gradient import LossGradient
from dsrna.testing.metric_conformance import check_metric
from dsrna.testing.tiny_networks import linear_network, smooth_network, tiny_images

Y = torch.tensor([0, 1, 2, 0])
LENGTH = {"linf": lambda g: g.abs().sum(1), "l2": lambda g: g.square().sum(1).sqrt(), "l1": lambda g: g.abs().amax(1)}


def loss_slope(weight, bias, x, y):
    """d CE / d x of a linear network, by hand: W^T (p - e_y)."""
    shares = (x.flatten(1) @ weight.T + bias).softmax(1) - F.one_hot(y, 3)
    return shares @ weight


def loss_gradient_on_linear(norm):
    return lambda weight, bias, x, y: -LENGTH[norm](loss_slope(weight, bias, x, y))


def radius_on_linear(norm, eps):
    def radius(weight, bias, x, y):
        logits = x.flatten(1) @ weight.T + bias
        found = []
        for row, label in zip(logits, y.tolist(), strict=True):
            other = max((j for j in range(3) if j != label), key=lambda j, row=row: row[j])
            gap = (weight[label] - weight[other])[None]
            found.append(min(1.0, max(0.0, float(row[label] - row[other])) / (eps * float(LENGTH[norm](gap)))))
        return torch.tensor(found, dtype=x.dtype)

    return radius


def curvature_on_linear(length):
    def curvature(weight, bias, x, y):
        here = loss_slope(weight, bias, x, y)
        z = length * here.sign() / here.sign().norm(dim=1, keepdim=True)
        return -(loss_slope(weight, bias, x.flatten(1) + z, y) - here).norm(dim=1)

    return curvature


def adversarial_loss_on_linear(eps, shares):
    def attacked(weight, bias, x, y):
        uphill = loss_slope(weight, bias, x, y).sign()
        losses = []
        for share in shares:
            chances = ((x.flatten(1) + share * eps * uphill).clamp(0, 1) @ weight.T + bias).softmax(1)
            losses.append(-chances[torch.arange(len(y)), y].log())
        return -sum(losses) / len(losses)

    return attacked


def at_the_boundary():
    """Answers that the images decide, not the bias, so that margins are used up within a threat's reach."""
    model = smooth_network()
    with torch.no_grad():
        model.classifier.bias -= model.eval()(tiny_images()).mean(0)
    return model.train()


@pytest.mark.parametrize("norm", LENGTH)
def test_loss_gradient_conforms(norm):
    check_metric(LossGradient(norm), loss_gradient_on_linear(norm))


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.1), ("l2", 1.0)])
def test_local_radius_conforms(norm, eps):
    check_metric(LocalRadius(norm, eps), radius_on_linear(norm, eps), at_the_boundary)


@pytest.mark.parametrize("batch_norm", ["running", "batch"])
def test_adversarial_loss_conforms(batch_norm):
    check_metric(AdversarialLoss("linf", 0.1, None, batch_norm), adversarial_loss_on_linear(0.1, [1.0]))


def test_an_adversarial_loss_of_several_strengths_is_their_mean():
    draw = torch.Generator().manual_seed(0)
    weight, bias = (torch.randn(*shape, generator=draw).double() for shape in ((3, 72), (3,)))
    x, shares = tiny_images(), [0.25, 1.0, 4.0]
    found = AdversarialLoss("linf", 0.1, shares)(linear_network(weight, bias), x, Y)
    torch.testing.assert_close(found, adversarial_loss_on_linear(0.1, shares)(weight, bias, x, Y))
    assert (x + 0.4).max() > 1, "the strongest leaves [0, 1] unless it is clipped"


def test_an_l2_step_is_along_the_gradient():
    weight = torch.randn(3, 72, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.full((4, 2, 6, 6), 0.5, dtype=torch.float64)
    slope = loss_slope(weight, 0.0, x, Y)
    moved = x.flatten(1) + 0.3 * slope / slope.norm(dim=1, keepdim=True)
    expected = -F.cross_entropy(moved @ weight.T, Y, reduction="none")
    torch.testing.assert_close(AdversarialLoss("l2", 0.3)(linear_network(weight), x, Y), expected)


def test_curvature_conforms():
    check_metric(Curvature(0.5), curvature_on_linear(0.5))


def textbook(metric, model, x, y):
    """Scores with double backward, in evaluation mode."""
    images = x.clone().requires_grad_()

    def slope(values):
        return torch.autograd.grad(values.sum(), images, create_graph=True)[0].flatten(1)

    logits = model.eval()(images)
    if isinstance(metric, LocalRadius):
        others = logits.masked_fill(F.one_hot(y, 3).bool(), -torch.inf).amax(1)
        margins = logits.gather(1, y[:, None])[:, 0] - others
        return (margins.clamp(min=0) / (metric.eps * LENGTH[metric.norm](slope(margins)))).clamp(max=1)
    here = slope(F.cross_entropy(logits, y, reduction="none"))
    if isinstance(metric, LossGradient):
        return -LENGTH[metric.norm](here)
    sign = here.detach().sign()
    z = (metric.length * sign / sign.norm(dim=1, keepdim=True)).view_as(x)
    return -(slope(F.cross_entropy(model(images + z), y, reduction="none")) - here).norm(dim=1)


@pytest.mark.parametrize(
    "metric",
    [LossGradient("linf"), LossGradient("l2"), LocalRadius("linf", 0.1), LocalRadius("l2", 1.0), Curvature(0.5)],
    ids=lambda metric: type(metric).__name__,
)
def test_scores_and_alpha_gradients_are_those_of_double_backward(metric):
    metric.difference_step = 1e-4
    model, x = at_the_boundary(), tiny_images(8)
    with torch.no_grad():
        y = model.eval()(x).argmax(1)
    found, expected = metric(model.train(), x, y), textbook(metric, model, x, y)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    gradients = [torch.autograd.grad(scores.mean(), model.alphas)[0] for scores in (found, expected)]
    assert gradients[1].abs().max() > 1e-5
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-9)


def test_a_radius_is_clipped_and_0_where_it_says_nothing():
    """At 1 for a wide margin; at 0 for a misclassified image and for a network that ignores it."""
    x, y = tiny_images(), Y
    weight = torch.randn(3, 72, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    right = linear_network(weight)(x).argmax(1)
    assert LocalRadius("linf", 1e-6)(linear_network(weight), x, right).tolist() == [1.0] * 4
    assert LocalRadius("linf", 0.1)(linear_network(weight), x, (right + 1) % 3).tolist() == [0.0] * 4
    ignoring = linear_network(0 * weight, torch.tensor([5.0, 0.0, 0.0]).double())
    assert LocalRadius("linf", 0.1)(ignoring, x, y).tolist() == [0.0] * 4


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: LocalRadius(eps=0.0), "eps"),
        (lambda: LocalRadius(difference_step=0.0), "difference_step"),
        (lambda: LossGradient("l3"), "norm"),
        (lambda: AdversarialLoss(eps=-0.1), "eps"),
        (lambda: AdversarialLoss(shares=[]), "shares"),
        (lambda: AdversarialLoss(shares=[0.5, 0.0]), "shares"),
        (lambda: Curvature(length=0.0), "length"),
    ],
)
def test_what_is_out_of_range_is_refused(build, says):
    with pytest.raises(ConfigError, match=says):
        build()
