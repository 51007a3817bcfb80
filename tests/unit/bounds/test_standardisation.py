"""LayerNorm, GroupNorm and InstanceNorm in intervals and between planes."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from dsrna.bounds.crown import Crown
from dsrna.bounds.crown_ibp import CrownIBP
from dsrna.bounds.engines import bound_engine
from dsrna.bounds.ibp import IBP
from dsrna.bounds.interval import Interval
from dsrna.bounds.lipschitz import LipschitzGain
from dsrna.bounds.relaxation import Relaxation
from dsrna.bounds.standardisation import Standardisation
from dsrna.bounds.substitution import lower_functions
from dsrna.errors import UnsupportedError

SMALLEST = 1e-5


def box(count, reach, seed, boxes=20):
    draw = torch.Generator().manual_seed(seed)
    centre = torch.randn(boxes, count, generator=draw, dtype=torch.float64)
    return Interval(centre, reach * torch.rand(boxes, count, generator=draw, dtype=torch.float64))


def points(interval, seed, number=400):
    """In the box and at its corners."""
    draw = torch.Generator().manual_seed(seed)
    place = 2 * torch.rand(number, *interval.shape, generator=draw, dtype=torch.float64) - 1
    place[number // 2 :] = place[number // 2 :].sign()
    return interval.centre + interval.radius * place


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.sampled_from([0.0, 1e-9, 0.03, 0.3, 1.0, 10.0]), st.integers(0, 10**6))
def test_values_lie_in_the_interval_and_between_the_planes(count, reach, seed):
    interval = box(count, reach, seed)
    x = points(interval, seed)
    values = F.layer_norm(x, (count,), eps=SMALLEST)
    found = interval.layer_norm((count,), eps=SMALLEST)
    assert bool((found.lower - 1e-10 <= values).all())
    assert bool((values <= found.upper + 1e-10).all())
    relaxed = Relaxation.ball(interval).layer_norm((count,), eps=SMALLEST)
    rows = torch.randn(5, *interval.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    planes = lower_functions(relaxed.node, rows)
    reached, below = (
        (rows[:, None] * values).sum(dim=3),
        (planes.rows[:, None] * x).sum(dim=3) + planes.constant[:, None],
    )
    assert bool((below <= reached + 1e-9 * (1 + below.abs())).all())


@pytest.mark.parametrize("count", [2, 5, 30])
@pytest.mark.parametrize("reach", [0.01, 0.5, 2.0])
def test_the_smallest_variance_is_that_over_all_means(count, reach):
    interval = box(count, reach, 3, boxes=20)
    statistics = Standardisation(interval, (1,), SMALLEST)
    low, high = interval.lower, interval.upper
    means = torch.lerp(
        low.mean(1, keepdim=True),
        high.mean(1, keepdim=True),
        torch.linspace(0, 1, 4001, dtype=torch.float64)[:, None, None],
    )
    distance = (low - means).relu() + (means - high).relu()
    expected = distance.square().mean(dim=2).amin(dim=0)
    found = statistics.power(statistics.deviations()).lower[:, 0] - SMALLEST
    assert bool((found <= expected + 1e-6).all())
    assert bool((found >= expected - 3e-4).all())


def test_two_values_by_hand():
    """x_0 - x_1 from 1 to 3: d_0 from 0.5 to 1.5, p from 0.25 + eps to 2.25 + eps; where d_0 = 1.5, p is 2.25 + eps."""
    interval = Interval(torch.tensor([[2.0, 0.0]]).double(), torch.tensor([[0.5, 0.5]]).double())
    found = interval.layer_norm((2,), eps=0.1)
    lower, upper = 0.5 / math.sqrt(2.35), 1.5 / math.sqrt(2.35)
    torch.testing.assert_close(found.lower, torch.tensor([[lower, -upper]]).double())
    torch.testing.assert_close(found.upper, torch.tensor([[upper, -lower]]).double())


@pytest.mark.parametrize("count", [2, 3, 9])
def test_no_box_leads_beyond_what_n_values_can_reach(count):
    """In single precision, too, where the smallest variance gets lost beside the largest."""
    wide = box(count, 1e6, 0)
    for interval in (wide, Interval(wide.centre.float(), wide.radius.float())):
        found = interval.layer_norm((count,))
        assert found.magnitude.max() <= math.sqrt(count - 1) * (1 + 1e-6)


def test_a_small_radius_is_that_of_the_derivative():
    """IBP: |dz/dd| r_d + |dz/dp| r_p at the centre, to first order; linear relaxation: the derivative itself."""
    interval = box(6, 1e-8, 1, boxes=1)
    x = interval.centre[0]
    centre, root = x - x.mean(), (x.var(correction=0) + SMALLEST).sqrt()
    radius = interval.radius[0]
    moved = radius * (1 - 2 / 6) + radius.mean()
    expected = moved / root + centre.abs() / root**3 * (centre.abs() * radius).mean()
    torch.testing.assert_close(interval.layer_norm((6,)).radius[0], expected, rtol=1e-5, atol=0)
    relaxed = Relaxation.ball(interval).layer_norm((6,))
    planes = lower_functions(relaxed.node, torch.eye(6, dtype=torch.float64)[:, None])
    jacobian = torch.autograd.functional.jacobian(lambda values: F.layer_norm(values, (6,)), x)
    torch.testing.assert_close(planes.rows[:, 0], jacobian, rtol=1e-5, atol=1e-5)


LAYERS = {
    "layer": lambda: nn.LayerNorm((4, 3, 3)),
    "group": lambda: nn.GroupNorm(2, 4),
    "instance": lambda: nn.InstanceNorm2d(4, affine=True),
    "running": lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True).eval(),
    "last": lambda: nn.LayerNorm(3, bias=False),
    "functional": lambda: Functional(),
}


class Functional(nn.Module):
    def forward(self, x):
        return torch.layer_norm(torch.group_norm(F.instance_norm(x), 2), (3, 3))


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_is_itself_on_a_point(name):
    torch.manual_seed(0)
    layer = LAYERS[name]().double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    x = torch.rand(2, 4, 3, 3, dtype=torch.float64)
    found = layer(Interval.ball(x, 0.0, "linf"))
    torch.testing.assert_close(found.centre, layer(x))
    assert found.radius.max() < 1e-12


@pytest.mark.parametrize("offset", [0.0, 30.0])
@pytest.mark.parametrize("engine", [IBP, CrownIBP, Crown])
def test_allowance_is_made_for_rounding(engine, offset):
    """What float32 gives, by torch's formula and by mean(x^2) - mean(x)^2, of values far from 0."""
    torch.manual_seed(0)
    first = nn.Conv2d(2, 4, 3)
    first.bias.data += offset
    model = nn.Sequential(first, nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)).requires_grad_(False)

    class Other(nn.Module):
        def forward(self, x):
            x = x.unflatten(1, (2, -1)).flatten(2)
            mean = x.mean(2, True)
            variance = (x.square().mean(2, True) - mean.square()).clamp(min=0)
            scale = (variance + 1e-5).rsqrt()
            return (x * scale - mean * scale).view(-1, 4, 2, 2)

    other = nn.Sequential(first, Other(), *model[2:])
    exact = copy.deepcopy(model).double()
    x = torch.rand(20, 2, 4, 4)
    lower, upper = engine().allowing_for(torch.float32)(exact, x.double(), 0.0)
    for reached in (model(x).double(), other(x).double(), exact(x.double())):
        assert bool(((lower <= reached) & (reached <= upper)).all())
    assert (upper - lower).max() < (1e-3 if offset == 0 else 3)


def test_what_has_no_rule_is_refused():
    x = torch.rand(2, 4, 3, 3)
    with pytest.raises(UnsupportedError, match="mixes the images"):
        Interval.ball(x, 0.1, "linf").layer_norm((2, 4, 3, 3))
    with pytest.raises(UnsupportedError, match=r"0 \(LayerNorm\).*mean and variance"):
        bound_engine("auto_lirpa_crown")(nn.Sequential(nn.LayerNorm((4, 3, 3)), nn.Flatten()), x, 0.1)
    with pytest.raises(UnsupportedError, match="mean and variance"):
        nn.GroupNorm(2, 4)(LipschitzGain.of_images(x, "linf", 0.1))
