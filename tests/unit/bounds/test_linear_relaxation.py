"""CROWN-IBP, CROWN, alpha-CROWN against textbook versions, another library and finite differences.

Soundness itself is in tests/conformance/test_bounds.py.
"""

import itertools

import pytest
import torch
from torch import nn

from dsrna.bounds.alpha_crown import AlphaCrown
from dsrna.bounds.auto_lirpa import AutoLirpa
from dsrna.bounds.compat import auto_lirpa
from dsrna.bounds.crown import Crown
from dsrna.bounds.crown_ibp import CrownIBP
from dsrna.bounds.ibp import IBP
from dsrna.errors import MissingPartError, UnsupportedError
from dsrna.functional.margins import all_margins
from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.darts import Darts
from dsrna.strategies.relaxed_supernet import RelaxedSupernet

EPS = 0.05


def supernet():
    torch.manual_seed(0)
    space = DartsSpace(nodes=1)
    network = space.supernet((2, 4, 4), 3, 1, 2, mean=(0.4, 0.5), std=(0.3, 0.2))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 1.5)
    return RelaxedSupernet(network, Darts(1.0).initial(space)).double()


def perceptron():
    torch.manual_seed(0)
    sizes = (32, 12, 10, 3)
    layers = [nn.Flatten()]
    for size_in, size_out in itertools.pairwise(sizes):
        layers += [nn.Linear(size_in, size_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).double()


def batch():
    x = torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x, torch.tensor([0, 1, 2])


def textbook_crown(network, x, eps):
    """CROWN's upper and lower bounds of one image's logits, layer by layer with dense matrices."""
    low, high = (x - eps).clamp(min=0).flatten(), (x + eps).clamp(max=1).flatten()
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    ends = []  # of what goes into each ReLU

    def substitute(last, sign):
        rows, constant = sign * layers[last].weight, sign * layers[last].bias
        for index in range(last - 1, -1, -1):
            lower, upper = ends[index]
            new_rows, new_constant = torch.zeros_like(rows), constant.clone()
            for row in range(len(rows)):
                for place in range(rows.shape[1]):
                    a, low_end, high_end = rows[row, place], lower[place], upper[place]
                    if low_end >= 0:
                        new_rows[row, place] = a
                    elif high_end > 0 and a < 0:
                        new_rows[row, place] = a * high_end / (high_end - low_end)
                        new_constant[row] += -a * high_end * low_end / (high_end - low_end)
                    elif high_end > 0 and high_end >= -low_end:
                        new_rows[row, place] = a
            constant = new_constant + new_rows @ layers[index].bias
            rows = new_rows @ layers[index].weight
        return constant + rows.clamp(min=0) @ low + rows.clamp(max=0) @ high

    for last in range(len(layers)):
        ends.append((substitute(last, 1.0), -substitute(last, -1.0)))
    return ends[-1]


@torch.no_grad()
def test_crown_equals_the_textbook():
    network = perceptron()
    x, _ = batch()
    lower, upper = Crown("linf")(network, x, EPS)
    for image in range(len(x)):
        expected_lower, expected_upper = textbook_crown(network, x[image], EPS)
        torch.testing.assert_close(lower[image], expected_lower)
        torch.testing.assert_close(upper[image], expected_upper)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(("ours", "method"), [(CrownIBP, "CROWN-IBP"), (Crown, "CROWN")])
@torch.no_grad()
def test_equals_auto_lirpa_where_it_relaxes_alike(ours, method, norm):
    try:
        auto_lirpa()
    except MissingPartError as error:
        pytest.skip(str(error))
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(4, 3)
    ).double()
    x, y = batch()
    theirs = AutoLirpa(norm, method=method)(network, x, EPS, y)
    interval = IBP(norm)(network, x, EPS, y)
    lower, upper = ours(norm)(network, x, EPS, y)
    if norm == "linf" or method == "CROWN-IBP":
        torch.testing.assert_close(lower, torch.maximum(theirs.lower, interval.lower))
        torch.testing.assert_close(upper, torch.minimum(theirs.upper, interval.upper))
    else:  # ours also bounds the layers' functions over the box that cuts the ball
        assert bool((lower >= theirs.lower - 1e-9).all())
        assert bool((upper <= theirs.upper + 1e-9).all())


@pytest.mark.slow
@pytest.mark.parametrize("engine", [CrownIBP, Crown])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_gradients_to_alphas_and_weights_agree_with_finite_differences(engine, norm):
    network = supernet()
    x, y = batch()
    bound = engine(norm)
    parameters = [network.architecture.alphas["reduce"], network.supernet.classifier.weight]
    parameters.append(network.supernet.cells[0].edges[0].operations[4][1].weight)

    def score():
        return bound(network, x, 1e-3, y).lower.sum()

    gradients = torch.autograd.grad(score(), parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        direction = torch.randn_like(parameter)
        with torch.no_grad():
            parameter.add_(1e-6 * direction)
            above = score()
            parameter.sub_(2e-6 * direction)
            below = score()
            parameter.add_(1e-6 * direction)
        torch.testing.assert_close((gradient * direction).sum(), (above - below) / 2e-6, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_gradient_to_eps_agrees_with_finite_differences(norm):
    network = supernet()
    x, y = batch()
    eps = torch.full((3,), 1e-3, dtype=torch.float64, requires_grad=True)
    bound = CrownIBP(norm)
    (gradient,) = torch.autograd.grad(bound(network, x, eps, y).lower.sum(), eps)
    with torch.no_grad():
        above, below = (bound(network, x, eps + step, y).lower.sum(dim=1) for step in (1e-8, -1e-8))
    torch.testing.assert_close(gradient, (above - below) / 2e-8, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("engine", [IBP, CrownIBP, Crown])
def test_summary_and_its_gradient_are_those_of_the_smallest_margin(engine):
    network = supernet()
    x, y = batch()
    bound = engine("linf")
    alphas = [network.architecture.alphas["reduce"]]
    lower, upper = bound(network, x, 1e-3, y)
    expected, place = lower.min(dim=1)
    summary = bound.summary(network, x, 1e-3, y)
    torch.testing.assert_close(summary.lower, expected)
    if engine is not IBP:
        widths = (upper - lower).gather(1, place[:, None])[:, 0]
        assert bool((summary.width >= widths - 1e-12).all())  # as its upper end is not intersected with the interval's
        torch.testing.assert_close(summary.width, widths, rtol=0.05, atol=0)
    torch.testing.assert_close(
        torch.autograd.grad(summary.lower.sum(), alphas),
        torch.autograd.grad(expected.sum(), alphas),
        rtol=1e-7,
        atol=1e-9,
    )
    with torch.no_grad():
        torch.testing.assert_close(bound.summary(network, x, 1e-3, y).lower, expected.detach())


@pytest.mark.parametrize("engine", [IBP, CrownIBP, Crown])
def test_summary_of_the_mean_margin_bounds_it(engine):
    network = supernet()
    x, y = batch()
    bound = engine("linf")
    summary = bound.summary(network, x, 1e-3, y, "mean")
    assert bool((summary.lower >= bound(network, x, 1e-3, y).lower.mean(dim=1) - 1e-12).all())
    at_zero = bound.summary(network, x, 0.0, y, "mean")
    with torch.no_grad():
        logits = network.eval()(x)
        points = (x + 1e-3 * torch.randn(200, *x.shape, dtype=x.dtype).sign()).clamp(0, 1)
        lowest = all_margins(network(points.flatten(0, 1)), y.repeat(200)).mean(dim=1).view(200, 3).amin(dim=0)
    assert bool((lowest >= summary.lower).all())
    torch.testing.assert_close(at_zero.lower, all_margins(logits, y).mean(dim=1))
    torch.testing.assert_close(at_zero.spread, logits.std(dim=1, correction=0))


def test_tighter_engines_are_tighter():
    network, (x, y) = perceptron(), batch()
    engines = (AlphaCrown, Crown, CrownIBP, IBP)
    bounds = [engine("linf")(network, x, EPS, y) for engine in engines]
    for tight, loose in itertools.pairwise(bounds):
        assert bool((tight.lower >= loose.lower - 1e-12).all())
        assert bool((tight.upper <= loose.upper + 1e-12).all())
    widths = [(bound.upper - bound.lower).mean().item() for bound in bounds]
    assert widths[0] < 0.99 * widths[1]
    assert widths[1] < 0.9 * widths[2]
    assert widths[2] < 0.9 * widths[3]


def test_alpha_crown_leaves_no_gradients():
    network, (x, y) = perceptron(), batch()
    bounds = AlphaCrown("linf")(network, x, EPS, y)
    assert not bounds.lower.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.slow
def test_chunks_of_rows_give_the_same(monkeypatch):
    network, (x, y) = supernet(), batch()
    whole = Crown("linf")(network, x, 1e-2, y)
    monkeypatch.setattr("dsrna.bounds.crown._ROWS_AT_ONCE", 1000)
    torch.testing.assert_close(Crown("linf")(network, x, 1e-2, y), whole)


def test_sub_batches_give_the_same():
    network, (x, y) = supernet(), batch()
    eps = torch.tensor([0.0, 1e-3, 2e-3], dtype=torch.float64)
    torch.testing.assert_close(Crown("l2", batch_size=2)(network, x, eps, y), Crown("l2")(network, x, eps, y))


def test_changes_of_the_network_count_at_once():
    network, (x, y) = supernet(), batch()
    bound = CrownIBP("linf")
    before = bound(network, x, 1e-3, y)
    with torch.no_grad():
        network.train()(x)
        network.architecture.alphas["reduce"].add_(torch.randn_like(network.architecture.alphas["reduce"]))
    after = bound(network, x, 1e-3, y)
    torch.testing.assert_close(after, CrownIBP("linf")(network, x, 1e-3, y), rtol=0, atol=0)
    assert not torch.allclose(after.lower, before.lower)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_in_place_relu_changes_its_operand(norm):
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(3)
            self.first, self.last = nn.Linear(32, 6), nn.Linear(6, 3)

        def forward(self, x):
            hidden = self.first(x.flatten(1))
            earlier = nn.functional.relu(hidden)
            nn.functional.relu(hidden, inplace=True)
            return self.last(hidden + nn.functional.relu(hidden) - earlier)

    network, (x, y) = InPlace().double(), batch()
    plain = nn.Sequential(nn.Flatten(), network.first, nn.ReLU(), network.last)
    for engine in (IBP, CrownIBP, Crown):
        bound = engine(norm)
        loose, tight = bound(network, x, EPS, y), bound(plain, x, EPS, y)
        assert bool((loose.lower <= tight.lower + 1e-9).all())
        torch.testing.assert_close(bound(network, x, 0.0, y).lower, bound(plain, x, 0.0, y).lower)


@pytest.mark.parametrize("engine", [IBP, CrownIBP, Crown])
def test_margins_are_of_the_last_layer_as_it_was_computed(engine):
    """What went into it is changed in place afterwards."""

    class ChangesAfterwards(nn.Module):
        def __init__(self, first, last):
            super().__init__()
            self.first, self.last = first, last

        def forward(self, x):
            hidden = self.first(x)
            logits = self.last(hidden)
            hidden *= 100.0
            return logits

    network, (x, y) = perceptron(), batch()
    found = engine("linf")(ChangesAfterwards(network[:-1], network[-1]), x, EPS, y)
    torch.testing.assert_close(found, engine("linf")(network, x, EPS, y))


def test_unsupported_operation_is_named():
    network = nn.Sequential(nn.Flatten(), nn.Linear(32, 3), nn.Softplus())
    with pytest.raises(UnsupportedError, match=r"2 \(Softplus\): No bound is known for torch function `softplus`"):
        Crown("linf")(network, torch.rand(1, 2, 4, 4), 0.1)


class MixesImages(nn.Module):
    def forward(self, x):
        return torch.cat([x, x]).flatten(1)


def test_operation_that_mixes_images_is_refused():
    with pytest.raises(UnsupportedError, match="mixes the images"):
        Crown("linf")(MixesImages(), torch.rand(2, 1, 2, 2), 0.1)
