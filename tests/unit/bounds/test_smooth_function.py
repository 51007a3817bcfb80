"""Lines and ranges around smooth activation functions."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dsrna.bounds.auto_lirpa import AutoLirpa
from dsrna.bounds.compat import auto_lirpa, bounded_module
from dsrna.bounds.engines import bound_engine
from dsrna.bounds.interval import Interval
from dsrna.bounds.smooth_function import ERF, GELU, SIGMOID, SILU, TANH, enclosing_lines
from dsrna.errors import MissingPartError, UnsupportedError

FUNCTIONS = {
    "sigmoid": (SIGMOID, torch.sigmoid),
    "tanh": (TANH, torch.tanh),
    "erf": (ERF, torch.erf),
    "gelu": (GELU, F.gelu),
    "silu": (SILU, F.silu),
}


class Erf(nn.Module):
    def forward(self, x):
        return torch.erf(x)


@pytest.fixture(params=FUNCTIONS)
def pair(request):
    return FUNCTIONS[request.param]


def intervals(dtype=torch.float64):
    draw = torch.Generator().manual_seed(0)
    centre = 4 * torch.randn(500, generator=draw, dtype=dtype)
    reach = 10 ** (9 * torch.rand(500, generator=draw, dtype=dtype) - 7)
    return centre - reach, centre + reach


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_function_lies_between_its_lines_and_in_its_range(pair, dtype):
    function, reference = pair
    low, high = intervals(dtype)
    lines, (least, most) = enclosing_lines(function, low, high), function.range(low, high)
    z = torch.lerp(low.double(), high.double(), torch.linspace(0, 1, 2001, dtype=torch.float64)[:, None])
    value, slack = reference(z), 4 * torch.finfo(dtype).eps * (1 + z.abs())
    assert bool((lines.lower.double() * z + lines.floor.double() <= value).all()), "in exact arithmetic, as rounded"
    assert bool((lines.upper.double() * z + lines.ceiling.double() >= value).all())
    assert bool((least - slack <= value).all())
    assert bool((most + slack >= value).all())


def test_what_is_known_of_the_functions_is_true(pair):
    function, reference = pair
    z = torch.linspace(-30, 30, 60001, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(reference(z).sum(), z, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), z)
    torch.testing.assert_close(function.slope(z), slope)
    assert slope.abs().max() <= function.steepest <= 1.001 * slope.abs().max()
    assert curvature.abs().max() <= function.curvature <= 1.001 * curvature.abs().max()
    far = z.detach()[z.abs() >= function.tail]
    line = {SIGMOID: (far > 0).double(), TANH: far.sign(), ERF: far.sign()}.get(function, far.relu())
    assert (reference(far) - line).abs().max() <= function.remainder
    lowest = z[reference(z).argmin()].item() if function.lowest > -math.inf else -math.inf
    assert function.lowest == pytest.approx(lowest, abs=1e-3)


@pytest.mark.parametrize(
    ("function", "low", "high", "area"),
    [
        # Where a function bends one way only, the best lines are a chord and the tangent at the middle (to its ends'
        # heights there: the area is width times the distance of the two lines at the middle).
        (SIGMOID, 0.5, 2.5, 2 * (torch.tensor(1.5).sigmoid() - torch.tensor([0.5, 2.5]).sigmoid().mean())),
        (TANH, -2.0, -0.2, 1.8 * (torch.tensor([-2.0, -0.2]).tanh().mean() - torch.tensor(-1.1).tanh())),
        (GELU, -1.0, 1.0, 2 * (F.gelu(torch.tensor([-1.0, 1.0])).mean())),
        (SILU, -2.0, 1.0, 3 * (F.silu(torch.tensor([-2.0, 1.0])).mean() - F.silu(torch.tensor(-0.5)))),
    ],
)
def test_the_area_between_the_lines_is_that_of_chord_and_tangent(function, low, high, area):
    low, high = torch.tensor(low).double(), torch.tensor(high).double()
    lines = enclosing_lines(function, low, high)
    middle = (low + high) / 2
    found = (high - low) * ((lines.upper - lines.lower) * middle + lines.ceiling - lines.floor)
    assert area <= found <= 1.02 * area


@pytest.mark.parametrize("name", ["ibp", "crown"])
def test_a_single_function_of_a_pixel_has_its_own_range(pair, name):
    """f(8 x - 4) at x = 0.4 +- 0.2: z from -2.4 to 0.8; IBP is exact, and no linear relaxation of ours is looser."""
    function, reference = pair
    first, last = nn.Linear(1, 1, dtype=torch.float64), nn.Linear(1, 2, dtype=torch.float64)
    with torch.no_grad():
        first.weight.fill_(8.0), first.bias.fill_(-4.0)
        last.weight.copy_(torch.tensor([[1.0], [-1.0]])), last.bias.zero_()
    activation = {ERF: Erf(), SIGMOID: nn.Sigmoid(), TANH: nn.Tanh(), GELU: nn.GELU(), SILU: nn.SiLU()}[function]
    x = torch.full((1, 1, 1, 1), 0.4, dtype=torch.float64)
    lower, upper = bound_engine(name)(nn.Sequential(nn.Flatten(), first, activation, last), x, 0.2)
    values = reference(torch.linspace(-2.4, 0.8, 100001, dtype=torch.float64))
    expected = torch.stack([values.min(), -values.max()]), torch.stack([values.max(), -values.min()])
    torch.testing.assert_close(lower[0], expected[0], atol=1e-8, rtol=0)
    torch.testing.assert_close(upper[0], expected[1], atol=1e-8, rtol=0)


def test_a_narrow_interval_keeps_the_digits_of_its_radius(pair):
    function, _ = pair
    x = torch.full((1, 1), 0.3)
    radius = Interval.ball(x, 1e-12, "linf")._entrywise(function).radius
    torch.testing.assert_close(radius, 1e-12 * function.slope(x).abs(), rtol=1e-3, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.Tanh])
def test_crown_is_about_as_tight_as_auto_lirpas(activation):
    """auto_LiRPA on the network as it is, of layers on which it is right."""
    try:
        library = auto_lirpa()
    except MissingPartError as error:
        pytest.skip(str(error))
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(8, 10), activation(), nn.Linear(10, 9), activation(), nn.Linear(9, 3)]
    network = nn.Sequential(*layers).requires_grad_(False)
    with torch.no_grad():
        for layer in (network[1], network[3]):
            layer.weight.mul_(3)
    x = torch.rand(4, 2, 2, 2)
    for eps in (0.02, 0.1):
        ours = bound_engine("crown")(network, x, eps)
        ball = Interval.ball(x, eps, "linf")
        box = library.PerturbationLpNorm(norm=math.inf, x_L=ball.lower, x_U=ball.upper)
        bounded = bounded_module(network, x[:1])
        theirs = bounded.compute_bounds(x=(library.BoundedTensor(x, box),), method="CROWN")
        share = ((ours.upper - ours.lower) / (theirs[1] - theirs[0])).detach()
        assert 0.5 < share.mean() < 1.1


def test_gelu_by_tanh_and_smooth_functions_for_auto_lirpa_are_refused():
    x = torch.rand(1, 1, 2, 2)
    with pytest.raises(UnsupportedError, match="GELU with approximate='tanh'"):
        bound_engine("ibp")(nn.Sequential(nn.GELU("tanh"), nn.Flatten()), x, 0.1)
    with pytest.raises(UnsupportedError, match=r"0 \(SiLU\): .*smooth"):
        AutoLirpa("linf", method="CROWN")(nn.Sequential(nn.SiLU(), nn.Flatten()), x, 0.1)
