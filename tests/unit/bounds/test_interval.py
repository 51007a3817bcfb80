"""Interval arithmetic against hand computation, vertices of boxes and closed forms."""

from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dsrna.bounds.ibp import IBP
from dsrna.bounds.interval import Interval
from dsrna.errors import ConfigError, DataError, UnsupportedError
from dsrna.functional.margins import all_margins
from dsrna.nn.operations import OPERATIONS, supernet_operation
from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.darts import Darts
from dsrna.strategies.pcdarts import PCDarts
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.testing.tiny_networks import linear_network


def randomise(network):
    """Running statistics and BatchNorm parameters as after training."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 1.5)
            if module.affine:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
    return network.double()


def interval(shape, radius=0.3):
    return Interval(torch.randn(shape, dtype=torch.float64), radius * torch.rand(shape, dtype=torch.float64))


def vertices(box):
    """All 2^D corners of a box (1, ...)."""
    signs = torch.tensor(list(product((-1.0, 1.0), repeat=box.centre.numel())), dtype=torch.float64)
    return box.centre + signs.view(-1, *box.shape[1:]) * box.radius


def test_two_layers_by_hand():
    # x in [0.4, 0.6] x [0.9, 1], cut with [0, 1]; first layer: 1 * x0 - 2 * x1 + 1 in [-0.6, -0.2], and
    # -1 * x0 + 1 * x1 in [0.3, 0.6]; ReLU: 0 and [0.3, 0.6]; second layer 5 * h0 - 2 * h1 + 1 in [-0.2, 0.4].
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, -2.0], [-1.0, 1.0]]))
        network[0].bias.copy_(torch.tensor([1.0, 0.0]))
        network[2].weight.copy_(torch.tensor([[5.0, -2.0]]))
        network[2].bias.copy_(torch.tensor([1.0]))
    bounds = IBP("linf")(network, torch.tensor([[0.5, 1.0]], dtype=torch.float64), 0.1)
    torch.testing.assert_close(bounds.lower, torch.tensor([[-0.2]], dtype=torch.float64))
    torch.testing.assert_close(bounds.upper, torch.tensor([[0.4]], dtype=torch.float64))


LINEAR = {
    "depthwise": nn.Conv2d(2, 2, 2, groups=2),
    "dilated": nn.Conv2d(2, 3, 2, padding=1, dilation=2),
    "strided": nn.Conv2d(2, 3, 2, stride=2),
    "batchnorm": nn.BatchNorm2d(2),
    "avg_pool": nn.AvgPool2d(3, 1, 1, count_include_pad=False),
    "avg_pool_with_padding": nn.AvgPool2d(2, 2, 1),
    "max_pool": nn.MaxPool2d(3, 1, 1),
    "max_pool_ceil": nn.MaxPool2d(2, 2, ceil_mode=True),
    "global": nn.AdaptiveAvgPool2d(1),
    "relu": nn.ReLU(),
    "relu_in_place": nn.ReLU(inplace=True),
    "zero": OPERATIONS["none"](2, 2, 2, False),
    "identity": OPERATIONS["skip_connect"](2, 2, 1, False),
}


@pytest.mark.parametrize("name", LINEAR)
def test_single_operation_is_exact_at_the_vertices(name):
    # An operation that is linear, or monotone in every input, takes its extremes at vertices of the box.
    torch.manual_seed(0)
    operation = randomise(LINEAR[name]).eval()
    box = interval((1, 2, 2, 2))
    outputs = operation(vertices(box))
    bounds = operation(box)
    torch.testing.assert_close(bounds.lower[0], outputs.amin(dim=0))
    torch.testing.assert_close(bounds.upper[0], outputs.amax(dim=0))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_contain_what_they_compute(name, stride):
    torch.manual_seed(1)
    for operation in (supernet_operation(name, 4, stride), OPERATIONS[name](4, 4, stride, True)):
        randomise(operation).eval()
        box = interval((1, 4, 5, 6))
        points = box.centre + (2 * torch.rand(300, 4, 5, 6, dtype=torch.float64) - 1).sign() * box.radius
        outputs, bounds = operation(points), operation(box)
        assert bool((outputs >= bounds.lower - 1e-12).all())
        assert bool((outputs <= bounds.upper + 1e-12).all())
        if name not in ("none", "noise"):
            assert bool((outputs.amax(dim=0) - outputs.amin(dim=0) > 0.1 * (bounds.upper - bounds.lower)[0]).any())


def test_in_place_relu_is_seen_by_everyone_who_holds_the_input():
    class Residual(nn.Module):
        def forward(self, x):
            return F.relu(x, inplace=True) + x

    box = interval((1, 4))
    torch.testing.assert_close(Residual()(Interval(box.centre, box.radius)).lower, 2 * box.lower.relu())


def test_linear_network_over_l2_ball_has_the_closed_form():
    torch.manual_seed(2)
    weight, bias = torch.randn(4, 12, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    network = linear_network(weight, bias)
    x = 0.5 + 0.1 * torch.rand(3, 3, 2, 2, dtype=torch.float64)
    y = torch.tensor([0, 3, 1])
    eps = torch.tensor([0.0, 0.1, 0.25], dtype=torch.float64)  # the balls don't reach the edges of [0, 1]
    logits = IBP("l2")(network, x, eps)
    torch.testing.assert_close(logits.lower, network(x) - eps[:, None] * weight.norm(dim=1))
    margins = IBP("l2")(network, x, eps, y)
    for n in range(3):
        for column, j in enumerate(k for k in range(4) if k != y[n]):
            difference = weight[y[n]] - weight[j]
            exact = difference @ x[n].flatten() + bias[y[n]] - bias[j] - eps[n] * difference.norm()
            torch.testing.assert_close(margins.lower[n, column], exact)


def test_l2_ball_of_copied_pixels_has_the_closed_form():
    """Grey to RGB, with equal weights for the three copies: eps ||w_red + w_green + w_blue||."""
    torch.manual_seed(2)
    layer = nn.Linear(48, 2).double()
    with torch.no_grad():
        layer.weight.copy_(torch.randn(2, 1, 16, dtype=torch.float64).expand(2, 3, 16).reshape(2, 48))
    x = torch.full((1, 1, 4, 4), 0.5, dtype=torch.float64)
    copied = Interval.ball(x, 0.2, "l2")[:, [0, 0, 0]].flatten(1)
    radius = 0.2 * layer.weight.view(2, 3, 16).sum(1).norm(dim=1)
    torch.testing.assert_close(layer(copied).radius[0], radius)


def test_l2_ball_survives_normalisation_and_is_cut_with_the_box():
    torch.manual_seed(3)
    network = DartsSpace(nodes=1).supernet((3, 4, 4), 2, 1, 2, mean=(0.2, 0.3, 0.4), std=(0.5, 0.2, 0.1)).double()
    first = nn.Sequential(network.normalize, network.stem.layers[0])
    x = 0.5 + torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    bounds = first(Interval.ball(x, 0.3, "l2"))
    kernel = network.stem.layers[0].weight / network.normalize.std
    inner = 0.3 * kernel.flatten(1).norm(dim=1)  # of pixels whose window lies in the map
    torch.testing.assert_close(bounds.radius[0, :, 1, 1], inner)
    far = first(Interval.ball(x, 100.0, "l2"))  # the ball contains the box, so the box decides
    torch.testing.assert_close(far.radius, first(Interval.ball(x, 0.5, "linf")).radius)


def test_margins_use_differences_of_rows():
    torch.manual_seed(4)
    weight = torch.randn(3, 12, dtype=torch.float64)
    network = linear_network(weight)
    x, y = torch.full((1, 3, 2, 2), 0.5, dtype=torch.float64), torch.tensor([1])
    margins = IBP("linf")(network, x, 0.1, y)
    exact = [(weight[1] - weight[j]) @ x.flatten() - 0.1 * (weight[1] - weight[j]).abs().sum() for j in (0, 2)]
    torch.testing.assert_close(margins.lower[0], torch.stack(exact))
    without_head = IBP("linf")(nn.Sequential(network, nn.Identity(), nn.ReLU()), x, 0.1, y)
    logits = IBP("linf")(nn.Sequential(network, nn.ReLU()), x, 0.1)
    torch.testing.assert_close(without_head.lower[0], logits.lower[0, 1] - logits.upper[0, [0, 2]])


def relaxed_supernet(nodes=2, cells=3, shape=(3, 6, 6), edges=False, partial_channels=1):
    space = DartsSpace(nodes=nodes)
    supernet = randomise(space.supernet(shape, 4, cells, 4, partial_channels, mean=(0.4,) * 3, std=(0.2,) * 3))
    if not edges:
        return RelaxedSupernet(supernet, Darts(1.0).initial(space).double())
    return RelaxedSupernet(supernet, PCDarts().initial(space).double())


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("partial_channels", [1, 2])
def test_relaxed_supernet_is_bounded(norm, partial_channels):
    torch.manual_seed(5)
    model = relaxed_supernet(edges=partial_channels > 1, partial_channels=partial_channels)
    x = torch.rand(2, 3, 6, 6, dtype=torch.float64)
    y = torch.tensor([0, 3])
    exact = IBP(norm)(model, x, 0.0, y)
    model.eval()
    torch.testing.assert_close(exact.lower, all_margins(model(x), y))
    torch.testing.assert_close(exact.upper, exact.lower)
    narrow, wide = (IBP(norm)(model, x, eps) for eps in (1e-4, 2e-4))
    assert bool((wide.lower < narrow.lower).all())
    assert bool((wide.upper > narrow.upper).all())


def test_gradient_to_alphas_agrees_with_finite_differences():
    torch.manual_seed(6)
    model = relaxed_supernet(cells=1)
    x = torch.rand(2, 3, 6, 6, dtype=torch.float64)
    y = torch.tensor([0, 3])
    alphas = model.architecture.alphas["reduce"]
    direction = torch.randn_like(alphas)
    engine = IBP("linf")

    def score():
        return engine(model, x, 1e-4, y).lower.sum()

    (gradient,) = torch.autograd.grad(score(), alphas)
    with torch.no_grad():
        alphas.add_(1e-6 * direction)
        above = score()
        alphas.sub_(2e-6 * direction)
        below = score()
    torch.testing.assert_close((gradient * direction).sum(), (above - below) / 2e-6, rtol=1e-5, atol=1e-7)


def test_derivative_at_an_operation_weight_of_zero_is_taken_from_the_right():
    box = interval((1, 5))
    weight = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (weight * box).lower.sum().backward()
    torch.testing.assert_close(weight.grad, box.lower.sum())


@pytest.mark.slow
def test_model_is_untouched_and_sub_batches_give_the_same():
    torch.manual_seed(7)
    model = relaxed_supernet().train()
    model.supernet.cells[0].eval()
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.rand(5, 3, 6, 6, dtype=torch.float64)
    eps = torch.linspace(0, 1e-3, 5, dtype=torch.float64)
    whole = IBP("l2")(model, x, eps)
    parts = IBP("l2", batch_size=2)(model, x, eps)
    torch.testing.assert_close(parts, whole)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


class Unsupported(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.ReLU(), nn.Softplus())

    def forward(self, x):
        return self.inner(x).flatten(1)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.Flatten(), Unsupported()), r"1\.inner\.1 \(Softplus\): No bound is known for .*softplus"),
        (nn.BatchNorm2d(1, track_running_stats=False), "the network itself .* the batch's own statistics"),
        (nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")), "padding with anything but zeros"),
    ],
)
def test_missing_rules_are_refused_with_their_place(network, message):
    with pytest.raises(UnsupportedError, match=message):
        IBP()(network, torch.rand(2, 1, 4, 4), 0.1)


ARITHMETIC = {
    "tensor_plus": lambda x: torch.full((3,), 2.0) + x,
    "tensor_minus": lambda x: torch.full((3,), 2.0) - x,
    "number_minus": lambda x: 1 - x,
    "number_plus": lambda x: 1 + x,
    "minus_tensor": lambda x: x - torch.full((3,), 2.0),
    "times_negative": lambda x: x * -2.0,
    "tensor_times": lambda x: torch.tensor([1.0, -2.0, 0.0]) * x,
    "divided": lambda x: x / torch.tensor([1.0, -2.0, 4.0]),
    "negative": lambda x: -x,
    "functions": lambda x: torch.add(torch.mul(x, 3.0), torch.relu(x)),
    "difference": lambda x: torch.sub(x, x.relu()),
    "concatenated": lambda x: torch.flatten(torch.cat([x, 2 * x], dim=1), 1),
    "reshaped": lambda x: x.view(x.size(0), -1)[:, 1:].reshape(-1, 2),
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_holds_at_both_ends(name):
    torch.manual_seed(8)
    function = ARITHMETIC[name]
    box = interval((1, 3))
    bounds = function(box)
    outputs = torch.cat([function(corner[None]) for corner in vertices(box)])
    lower, upper = outputs.amin(dim=0), outputs.amax(dim=0)
    assert bool((bounds.lower <= lower + 1e-12).all())
    assert bool((bounds.upper >= upper - 1e-12).all())
    if name not in ("functions", "difference"):  # these use x twice, so that intervals are loose
        torch.testing.assert_close(bounds.lower[0], lower)
        torch.testing.assert_close(bounds.upper[0], upper)


def test_functions_without_a_rule_are_refused():
    box = interval((2, 3))
    for misuse in (lambda: torch.sin(box), lambda: box.log(), lambda: box.cumprod(1), lambda: box**box):
        with pytest.raises(UnsupportedError):
            misuse()


def test_bad_input_is_refused():
    network = linear_network(torch.ones(2, 4))
    x = torch.rand(2, 1, 2, 2)
    for arguments in ((x * 255, 0.1), (x, 8.0), (x, -0.1), (x, torch.zeros(3)), (x, 0.1, torch.zeros(3).long())):
        with pytest.raises(DataError):
            IBP("linf")(network, *arguments)
    with pytest.raises(ConfigError, match="norm"):
        IBP("l1")
    with pytest.raises(ConfigError, match="batch_size"):
        IBP(batch_size=0)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_radius_below_the_last_digit_of_the_centre_is_kept(norm):
    """Through every rule, in single precision: the radii at eps 1e-12 are 1/1000 of those at 1e-9 in double."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(3, 1, padding=1),
            nn.AvgPool2d(2),
            nn.Conv2d(4, 4, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(4, 3),
        ).eval()
        x = torch.rand(4, 2, 6, 6)
        x[0, 0, 0, 0], x[1, 1, 1, 1] = 0.0, 1.0  # where the box cuts
    exact = model.double()(Interval.ball(x.double(), 1e-9, norm)).radius * 1e-3
    found = model.float()(Interval.ball(x, 1e-12, norm)).radius
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=0)
