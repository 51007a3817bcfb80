"""The certified metric against closed forms of linear networks, interval arithmetic by hand and finite differences."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dsrna.errors import ConfigError, NonFiniteError
from dsrna.metrics.certified import Certified
from dsrna.metrics.combined import Combined
from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.pcdarts import PCDarts
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.testing.metric_conformance import check_metric
from dsrna.testing.tiny_networks import TinyMixedNetwork, linear_network, tiny_images
from dsrna.types import CellWeights
from tests.thorough import thorough

Y = torch.tensor([0, 1, 2, 0])
SETTINGS = [
    {"engine": engine, "form": form, "reduction": reduction}
    for engine in ("ibp", "crown_ibp")
    for form, reduction in (("margin", "min"), ("margin", "mean"), ("radius", "min"))
]
every_setting = pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: "-".join(setting.values()))
every_norm = pytest.mark.parametrize("norm", ["linf", "l2"])
every_other = pytest.mark.parametrize(
    ("setting", "norm"),
    [
        ((setting, norm) if (i + j) % 2 == 0 else thorough(setting, norm))
        for i, setting in enumerate(SETTINGS)
        for j, norm in enumerate(["linf", "l2"])
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value.values()),
)
"""Every setting in one of the norms, and both norms with every other one."""


class Body(TinyMixedNetwork):
    """The tiny network with its operation weights given, as a supernet's."""

    def forward(self, x, weights):
        state = self.stem(x)
        rows = weights["normal"].operations
        for edge, (convolution, pooling) in enumerate(zip(self.convolutions, self.poolings, strict=True)):
            a, b, c = rows[edge].unbind()
            state = a * convolution(state) + b * pooling(state) + c * state
        return self.classifier(self.dropout(self.readout(state).mean(dim=(2, 3))))


class Alphas(nn.Module):
    def __init__(self, alphas):
        super().__init__()
        self.alphas = alphas

    def forward(self):
        return {"normal": CellWeights(self.alphas.softmax(dim=1))}


class RelaxedTiny(nn.Module):
    """The tiny network as a relaxed supernet, which is what engines of every kind can bound."""

    def __init__(self):
        super().__init__()
        self.supernet = Body(readout=F.relu)
        self.architecture = Alphas(self.supernet.alphas)

    def forward(self, x):
        return self.supernet(x, self.architecture())

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.supernet, name)


def network():
    return RelaxedTiny()


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def inner_images(count=4):
    """Images whose balls of a small eps the box [0, 1] doesn't cut."""
    return 0.25 + 0.5 * tiny_images(count)


def linear(classes=3):
    weight = torch.randn(classes, 72, generator=draw(), dtype=torch.float64)
    return weight, linear_network(weight, torch.randn(classes, generator=draw(1), dtype=torch.float64))


def dual(rows, norm):
    return rows.abs().sum(-1) if norm == "linf" else rows.norm(dim=-1)


def linear_score(weight, bias, x, y, norm, eps, engine, form, reduction):
    """The metric's definition for f(x) = W x + b, on balls that the box [0, 1] doesn't cut, image by image."""
    scores = []
    for image, label in zip(x.flatten(1), y.tolist(), strict=True):
        logits = weight @ image + bias
        others = [j for j in range(len(bias)) if j != label]
        margins, slopes = logits[label] - logits[others], weight[label] - weight[others]
        if form == "radius" and margins.min() > 0:
            scores.append(math.asinh((margins / dual(slopes, norm)).min().item() / eps))
            continue
        if (engine, reduction) == ("crown_ibp", "mean"):  # the mean margin as one function
            margins, slopes = margins.mean(dim=0, keepdim=True), slopes.mean(dim=0, keepdim=True)
        bounds = margins - eps * dual(slopes, norm)
        bound = bounds.min() if reduction == "min" else bounds.mean()
        scores.append(math.asinh(bound.item() / logits.std(correction=0).item()))
    return torch.tensor(scores, dtype=torch.float64)


@pytest.mark.slow
@every_other
def test_conformance(setting, norm):
    metric = Certified(norm, **setting)
    check_metric(metric, lambda *problem: linear_score(*problem, norm, metric.numbers["eps"], **setting), network)


@every_norm
@every_setting
def test_the_score_of_a_linear_network_is_the_closed_form(setting, norm):
    weight, model = linear()
    x = inner_images(40)
    logits = model(x).detach()
    y = logits.argmax(1)
    y[::4] = logits[::4].argmin(1)  # misclassified, where a radius becomes the margin form
    eps = 1e-3 if setting["form"] == "radius" else 0.02
    found = Certified(norm, **setting, eps=eps)(model, x, y)
    expected = linear_score(weight, model[1].bias.detach(), x, y, norm, eps, **setting)
    torch.testing.assert_close(found, expected, rtol=1e-4 if setting["form"] == "radius" else 1e-6, atol=1e-9)


def margin_by_hand(model, x, y, eps):
    """min_j of the lower bound of f_y - f_j of the tiny network: intervals of each layer, written out once more."""

    def linear_map(low, high, module):
        middle, radius = (low + high) / 2, (high - low) / 2
        weight, bias = module.weight, module.bias
        if isinstance(module, nn.Conv2d):
            middle = F.conv2d(middle, weight, bias, padding=1)
            radius = F.conv2d(radius, weight.abs(), padding=1)
        else:
            scale = (module.running_var + module.eps).rsqrt() * (1 if weight is None else weight)
            shift = -module.running_mean * scale + (0 if bias is None else bias)
            middle = middle * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)
            radius = radius * scale.abs().view(1, -1, 1, 1)
        return middle - radius, middle + radius

    low, high = (x - eps).clamp(min=0), (x + eps).clamp(max=1)
    for module in model.stem:
        low, high = linear_map(low, high, module)
    for weights, convolution, pooling in zip(
        model.alphas.softmax(dim=1), model.convolutions, model.poolings, strict=True
    ):
        a = linear_map(*linear_map(low.relu(), high.relu(), convolution[1]), convolution[2])
        b = linear_map(pooling[0](low), pooling[0](high), pooling[1])
        low, high = (
            weights[0] * p + weights[1] * q + weights[2] * s for p, q, s in zip(a, b, (low, high), strict=True)
        )
    low, high = low.relu().mean((2, 3)), high.relu().mean((2, 3))
    bounds = []
    for n, label in enumerate(y.tolist()):
        rows = torch.stack(
            [model.classifier.weight[label] - model.classifier.weight[j] for j in range(3) if j != label]
        )
        shift = torch.stack([model.classifier.bias[label] - model.classifier.bias[j] for j in range(3) if j != label])
        bounds.append((rows.clamp(min=0) @ low[n] + rows.clamp(max=0) @ high[n] + shift).min())
    return torch.stack(bounds)


def labels(model, x):
    """The network's own classes, but for the last image."""
    y = model.eval()(x).argmax(1)
    model.train()
    y[-1] = (y[-1] + 1) % 3
    return y


def fragile_network():
    """One whose radii lie far below 1."""
    model = network()
    with torch.no_grad():
        model.stem[0].weight *= 20
    return model


def test_the_radius_is_where_the_bound_by_hand_is_zero():
    model, x = fragile_network(), tiny_images(12)
    y = labels(model, x)
    metric = Certified("linf", "ibp", "radius", eps=0.001, bisection_steps=40)
    radii = 0.001 * metric(model, x, y).detach().sinh()[:-1]
    for n in range(11):
        at_radius = margin_by_hand(model, x[n : n + 1], y[n : n + 1], radii[n])
        at_zero = margin_by_hand(model, x[n : n + 1], y[n : n + 1], 0.0)
        assert abs(at_radius) < 1e-6 * at_zero


def test_a_few_bisections_and_one_newton_step_come_near():
    model, x = fragile_network(), tiny_images(12)
    y = labels(model, x)
    exact, near = (
        Certified("linf", "ibp", "radius", eps=0.001, bisection_steps=steps)(model, x, y).sinh() for steps in (40, 6)
    )
    torch.testing.assert_close(near, exact, rtol=1e-2, atol=0)


@pytest.mark.slow
@every_other
def test_gradient_of_every_alpha_agrees_with_finite_differences(setting, norm):
    """In float64; the radius's by the implicit function theorem against radii found anew."""
    model, x = network(), tiny_images(4)
    y = labels(model, x)
    metric = Certified(norm, **setting, eps=0.004 if norm == "linf" else 0.02, bisection_steps=20)
    (gradient,) = torch.autograd.grad(metric(model, x, y).sum(), model.alphas)
    step, differences = 1e-6, torch.zeros_like(model.alphas)
    for index in range(model.alphas.numel()):
        sums = []
        for sign in (1, -2):
            with torch.no_grad():
                model.alphas.view(-1)[index] += sign * step
                sums.append(metric(model, x, y).sum())
        with torch.no_grad():
            model.alphas.view(-1)[index] += step
        differences.view(-1)[index] = (sums[0] - sums[1]) / (2 * step)
    assert bool((gradient != 0).all())
    assert ((gradient - differences).norm() / differences.norm()).item() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [s if number in (2, 4) else thorough(s) for number, s in enumerate(SETTINGS)],
    ids=lambda setting: "-".join(setting.values()),
)
def test_pcdarts_supernet_gets_the_gradient_of_alphas_and_betas(setting, pcdarts_supernet):
    model = pcdarts_supernet
    metric, x = Certified("linf", **setting, bisection_steps=16), tiny_images()
    alphas = list(model.architecture.parameters())
    gradients = torch.autograd.grad(metric(model, x, Y).mean(), alphas)
    assert all(bool((gradient != 0).any()) for gradient in gradients)
    along = [torch.randn(alpha.shape, generator=draw(1), dtype=torch.float64) for alpha in alphas]
    step, means = 1e-6, []
    for sign in (1, -2):
        with torch.no_grad():
            for alpha, direction in zip(alphas, along, strict=True):
                alpha += sign * step * direction
            means.append(metric(model, x, Y).mean().item())
    slope = sum((gradient * direction).sum().item() for gradient, direction in zip(gradients, along, strict=True))
    assert slope == pytest.approx((means[0] - means[1]) / (2 * step), rel=1e-4)


def test_a_radius_whose_square_is_below_single_precision_is_found():
    """Those of supernets are that small. At a black image, where nothing rounds such a radius away.

    With u the sum of the pixels, f_0 - f_1 = 5c - u - 10 relu(u - c), which is 0 at u = 15c / 11.
    """
    c = 1e-25
    hidden = linear_network(torch.ones(2, 72), torch.tensor([0.0, -c]))
    logits = linear_network(torch.tensor([[0.0, 0.0], [1.0, 10.0]]), torch.tensor([5 * c, 0.0]))
    metric = Certified("linf", "ibp", "radius", eps=c / 100)
    score = metric(nn.Sequential(hidden, nn.ReLU(), logits), torch.zeros(1, 2, 6, 6), torch.tensor([0]))
    assert score.sinh().item() == pytest.approx(100 * 15 / 11 / 72, rel=1e-3)


@every_setting
@pytest.mark.parametrize("scale", [thorough(1e-3), thorough(1e-16), 1e-30])
def test_the_scale_of_the_logits_does_not_matter(setting, scale):
    """So alphas can't raise the score by shrinking the logits, and depth doesn't change its units."""
    model, scaled, x = network(), network(), tiny_images()
    with torch.no_grad():
        scaled.classifier.weight *= scale
        scaled.classifier.bias *= scale
    for eps in ("auto", 0.01):
        metric = Certified("linf", **setting, eps=eps, bisection_steps=12)
        torch.testing.assert_close(metric(scaled, x, Y), metric(model, x, Y), rtol=1e-5, atol=1e-9)


@every_other
def test_auto_is_where_bound_width_and_logit_spread_agree(setting, norm):
    metric = Certified(norm, **setting)
    metric(network(), tiny_images(), Y)
    numbers = metric.numbers
    assert numbers["bound_width"] == pytest.approx(numbers["logit_spread"], rel=1e-3)
    assert 0 < numbers["eps"] < 1
    fixed = Certified(norm, **setting, eps=numbers["eps"])
    torch.testing.assert_close(fixed(network(), tiny_images(), Y), metric(network(), tiny_images(), Y))


def test_auto_follows_the_network():
    """From one call to the next by at most a factor of 2, and to the place where a fresh metric would start."""
    model, x = network(), tiny_images()
    metric, fresh = Certified(), Certified()
    metric(model, x, Y)
    before = metric.numbers["eps"]
    with torch.no_grad():
        model.stem[0].weight *= 100
    fresh(model, x, Y)
    eps = [before]
    for _ in range(30):
        metric.advance(0.0)
        metric(model, x, Y)
        eps.append(metric.numbers["eps"])
        assert 0.5 <= eps[-1] / eps[-2] <= 2
    assert eps[-1] < before / 10
    assert eps[-1] == pytest.approx(fresh.numbers["eps"], rel=1e-2)


def test_without_advancing_eps_stays():
    metric = Certified()
    metric(network(), tiny_images(), Y)
    eps = metric.numbers["eps"]
    metric(network(), tiny_images(seed=1), Y)
    assert metric.numbers["eps"] == eps


def test_a_restored_metric_goes_on_as_if_nothing_had_happened():
    model, x = network(), tiny_images()
    metric, restored = Certified(), Certified()
    metric(model, 0.5 * x, Y)
    restored.restore(metric.numbers)
    for each in (metric, restored):
        each.advance(0.1)
    assert torch.equal(metric(model, x, Y), restored(model, x, Y))
    assert metric.numbers == restored.numbers


@pytest.mark.parametrize(("form", "reduction"), [("margin", "mean"), ("radius", "min")])
def test_each_form_has_a_reduction_of_its_own(form, reduction):
    model, x = network(), tiny_images()
    found = Certified(form=form, eps=0.01)(model, x, Y)
    assert torch.equal(found, Certified(form=form, reduction=reduction, eps=0.01)(model, x, Y))


def test_a_given_eps_is_kept():
    metric = Certified(eps=0.01)
    metric(network(), tiny_images(), Y)
    metric.advance(0.5)
    metric(network(), tiny_images(seed=1), Y)
    assert metric.numbers["eps"] == 0.01


@pytest.mark.parametrize("make", [Certified, Combined])
def test_eps_grows_with_the_search(make):
    metric, found = make(eps=0.03, eps_start=0.01, eps_begin=0.2, eps_stop=0.6), []
    for progress in (None, 0.0, 0.2, 0.4, 0.6, 0.9):
        if progress is not None:
            metric.advance(progress)
        scores = metric(network(), tiny_images(), Y, draw())
        found.append(metric.numbers["eps"])
        at_that_eps = make(eps=found[-1])(network(), tiny_images(), Y, draw())
        assert torch.equal(scores, at_that_eps)
    assert found == pytest.approx([0.01, 0.01, 0.01, 0.02, 0.03, 0.03])


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting", [SETTINGS[0], *map(thorough, SETTINGS[1:3])], ids=lambda setting: "-".join(setting.values())
)
def test_a_deep_supernet_in_single_precision_has_a_bounded_score(setting):
    """Its bounds are 1e8 and more times wider than the ball: eps lies below the last digit of a pixel."""
    space = DartsSpace(nodes=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        supernet = space.supernet((1, 8, 8), classes=10, cells=11, channels=4, partial_channels=2)
        model = RelaxedSupernet(supernet, PCDarts(2).initial(space, draw()))
        x = torch.rand(8, 1, 8, 8)
        with torch.no_grad():
            for _ in range(40):
                model(x)
    metric = Certified(**setting)
    scores = metric(model, x, torch.arange(8))
    numbers = metric.numbers
    assert numbers["eps"] < 1e-7
    assert numbers["bound_width"] == pytest.approx(numbers["logit_spread"], rel=1e-2)
    assert bool((scores.abs() < 3).all())
    vacuous = Certified(**setting, eps=0.1)(model, x, torch.arange(8))
    gradients = torch.autograd.grad(vacuous.mean(), list(model.architecture.parameters()))
    assert bool((vacuous.abs() < 30).all())
    assert max(gradient.abs().max().item() for gradient in gradients) < 10


@every_setting
def test_a_constant_network_has_a_score_and_no_gradient(setting):
    model = network()
    nn.init.zeros_(model.classifier.weight)
    nn.init.zeros_(model.classifier.bias)
    for eps in ("auto", 0.01):
        scores = Certified(**setting, eps=eps)(model, tiny_images(), Y)
        (gradient,) = torch.autograd.grad(scores.sum(), model.alphas)
        assert bool(scores.isfinite().all())
        assert torch.equal(gradient, torch.zeros_like(gradient))


@every_setting
def test_the_bound_is_that_of_the_running_statistics(setting):
    """Whatever mode the network is in, and not that of the batch."""
    model, x = network(), tiny_images()
    metric = Certified(**setting, eps=0.01)
    in_training, in_evaluation = metric(model.train(), x, Y), metric(model.eval(), x, Y)
    assert torch.equal(in_training, in_evaluation)
    with torch.no_grad():
        model.stem[1].running_var *= 16
    assert not torch.allclose(metric(model.train(), x, Y), in_training, rtol=1e-3)


def test_bounds_that_overflow_are_an_error_that_names_eps():
    model = network().float()
    with torch.no_grad():
        model.convolutions[0][1].weight *= 1e30
        model.convolutions[1][1].weight *= 1e30
    with pytest.raises(NonFiniteError, match=r"at eps 0.1 are NaN or infinite.*use `eps: auto`"):
        Certified(eps=0.1)(model, tiny_images(dtype=torch.float32), Y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"norm": "l1"}, "'linf' or 'l2', got 'l1'"),
        ({"engine": "crwon"}, "unknown engine 'crwon'; choose from ibp, crown_ibp"),
        ({"form": "some"}, "margin, radius, got 'some'"),
        ({"reduction": "max"}, "min, mean, got 'max'"),
        ({"form": "radius", "reduction": "mean"}, "use `reduction: min` or `form: margin`"),
        ({"eps": 0.0}, r"`auto` or a radius in \(0, 1\], got 0.0"),
        ({"eps": 8}, r"`auto` or a radius in \(0, 1\], got 8"),
        ({"eps": float("nan")}, "got nan"),
        ({"eps": "none"}, "got 'none'"),
        ({"eps": True}, "got True"),
        ({"norm": "l2", "eps": -1.0}, "a radius > 0, got -1.0"),
        ({"eps_start": 0.1}, "`eps: auto` finds its own radius, got `eps_start: 0.1`"),
        ({"eps": 0.1, "eps_start": 0}, r"`eps_start` to be null or a radius in \(0, 1\], got 0"),
        ({"eps": 0.1, "eps_begin": 0.5, "eps_stop": 0.1}, "0 <= `eps_begin` <= `eps_stop` <= 1, got 0.5 and 0.1"),
        ({"eps": 0.1, "eps_stop": 2}, "got 0.0 and 2. .conf: eps_stop"),
        ({"bisection_steps": 0}, "`bisection_steps` >= 1, got 0"),
        ({"batch_norm": "batch"}, "running statistics alone, got `batch_norm: batch`"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Certified(**arguments)
