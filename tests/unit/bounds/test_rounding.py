"""Bounds that allow for rounding contain the values of float32 and of real numbers, whatever cancels inside."""

import copy

import pytest
import torch
from torch import nn

from dsrna.bounds.auto_lirpa import AutoLirpa
from dsrna.bounds.crown import Crown
from dsrna.bounds.crown_ibp import CrownIBP
from dsrna.bounds.ibp import IBP
from dsrna.bounds.interval import Interval
from dsrna.bounds.rounding import accumulated, unit_roundoff
from dsrna.errors import UnsupportedError
from dsrna.functional.margins import all_margins
from dsrna.functional.projections import uniform_start

ENGINES = {"ibp": IBP, "crown_ibp": CrownIBP, "crown": Crown}


class Shifted(nn.Module):
    """What is around 0 is moved far from it, and back."""

    def __init__(self, offset):
        super().__init__()
        self.register_buffer("offset", torch.tensor(offset))

    def forward(self, x):
        return (x + self.offset) - self.offset


def network(kind, offset):
    torch.manual_seed(0)
    first = nn.Conv2d(2, 4, 3, padding=1)
    cancelling = {"batchnorm": nn.BatchNorm2d(4), "sum": Shifted(float(offset))}[kind]
    if kind == "batchnorm":
        first.bias.data += offset
        cancelling.running_mean += offset
        cancelling.running_var.fill_(0.1)
    rest = (nn.ReLU(), nn.MaxPool2d(2, 1), nn.AvgPool2d(2, 1), nn.Flatten(), nn.Linear(24, 3))
    return nn.Sequential(Shifted(0.25), first, cancelling, *rest).eval().requires_grad_(False)


def images():
    return torch.rand(4, 2, 4, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("offset", [0, 1e3, 1e5])
@pytest.mark.parametrize("kind", ["batchnorm", "sum"])
@pytest.mark.parametrize("engine", ENGINES)
def test_bounds_contain_float32_and_float64_values(engine, kind, offset, norm):
    model = network(kind, offset)
    exact = copy.deepcopy(model).double()
    x, y = images(), torch.tensor([0, 1, 2, 0])
    for eps in (0.0, 1e-6, 1e-3):
        points = torch.cat([x, uniform_start(x.repeat(20, 1, 1, 1), norm, eps, torch.Generator().manual_seed(1))])
        reached = [model(points).double(), exact(points.double())]
        margins = [all_margins(logits, y.repeat(21)) for logits in reached]
        for network_, images_ in ((model, x), (exact, x.double())):
            bound = ENGINES[engine](norm).allowing_for(torch.float32)
            for classes, values in ((None, reached), (y, margins)):
                lower, upper = bound(network_, images_, eps, classes)
                for value in values:
                    outcomes = value.view(21, len(x), -1)
                    assert bool((outcomes >= lower.double() - 1e-12).all())
                    assert bool((outcomes <= upper.double() + 1e-12).all())


def test_the_allowance_is_of_the_size_of_the_error():
    """At eps 0 it is all that is left: between the errors that are seen and a thousand times as much."""
    x = images()
    for offset in (0, 1e3, 1e5):
        model = network("batchnorm", offset)
        errors = (model(x).double() - copy.deepcopy(model).double()(x.double())).abs().amax().item()
        for engine in ENGINES.values():
            lower, upper = engine().allowing_for(torch.float32)(model.double(), x.double(), 0.0)
            model.float()
            allowed = (upper - lower).amax().item() / 2
            assert errors <= allowed <= 1000 * errors + 1e-5
        if offset == 0:
            assert allowed < 1e-4


def test_a_large_mean_that_is_taken_off_small_values_is_allowed_for():
    layer, x = nn.BatchNorm2d(2).eval().requires_grad_(False), images()
    layer.running_mean += 1e4
    layer.running_var.fill_(0.1)
    exact = copy.deepcopy(layer).double()
    errors = (layer(x).double() - exact(x.double())).abs()
    box = Interval.ball(x.double(), 0.0, "linf", unit_roundoff(torch.float32))
    allowed = box.batch_norm(exact.running_mean, exact.running_var, exact.weight, exact.bias).radius
    assert bool((errors <= allowed).all())
    assert errors.max() > 1e-4, "otherwise nothing is to be allowed for"


def test_no_allowance_is_made_unless_asked_for():
    model, x = network("batchnorm", 0).double(), images().double()
    for engine in ENGINES.values():
        bound = engine()
        bound.allowing_for(torch.float32)
        lower, upper = bound(model, x, 0.0)
        torch.testing.assert_close(lower, upper, rtol=0, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_lower_ends_never_exceed_upper_ends_at_tiny_radii(engine):
    model, x, y = network("batchnorm", 1e3), images(), torch.tensor([0, 1, 2, 0])
    for eps in (0.0, 1e-12, 1e-9, 1e-7):
        for classes in (None, y):
            lower, upper = ENGINES[engine]()(model, x, eps, classes)
            assert bool((lower <= upper).all())
        assert bool((ENGINES[engine]().summary(model, x, eps, y).width >= 0).all())


def test_what_roundings_add_up_to():
    assert unit_roundoff(torch.float32) == 2**-24
    assert accumulated(3, 0.1) == pytest.approx(0.3 / 0.7)
    assert accumulated(2**24, 2**-24) == float("inf")


def test_nan_and_infinity_are_no_bounds():
    model, x, y = network("batchnorm", 0), images(), torch.tensor([0, 1, 2, 0])
    for value in (torch.nan, torch.inf, 3e38):
        broken = copy.deepcopy(model)
        broken[1].weight[0, 0, 0, 0] = value
        for engine in ENGINES.values():
            lower = engine().allowing_for(torch.float32)(broken, x, 0.01, y).lower
            assert not bool(((lower > 0) & lower.isfinite()).any())


def test_the_reference_has_no_allowance():
    with pytest.raises(UnsupportedError, match="allowance for rounding"):
        AutoLirpa().allowing_for(torch.float32)
