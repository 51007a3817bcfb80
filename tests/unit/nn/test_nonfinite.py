"""Which layer made a number NaN or infinite, on networks whose faulty layer is known."""

import pytest
import torch
from torch import nn

from dsrna.nn.nonfinite import Origin, origin_of_nonfinite


class RootOfZero(nn.Module):
    """x, with a gradient of NaN, or infinity."""

    def __init__(self, factor=0.0):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x + self.factor * (x - x.detach()).sqrt()


class Between(nn.Module):
    """An operation of its own before, between or after its parts."""

    def __init__(self, place):
        super().__init__()
        self.place = place
        self.first, self.second = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)

    def forward(self, x):
        for place, part in enumerate([self.first, self.second]):
            if self.place == place:
                x = x + (x - x).sqrt()
            x = part(x)
        return x + (x - x).sqrt() if self.place == 2 else x


def network(part):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True), nn.Sequential(nn.BatchNorm2d(2), part), nn.Flatten(), nn.Linear(8, 2)
    ).eval()


def images():
    return torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("factor", [0.0, 1.0])
def test_the_backward_pass_that_makes_it_is_named(factor):
    assert origin_of_nonfinite(network(RootOfZero(factor)), images()) == Origin(True, "2.1", "SqrtBackward0")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_modules_own_operation_is_told_from_its_parts(place):
    assert origin_of_nonfinite(network(Between(place)), images()) == Origin(True, "2.1", "SqrtBackward0")


@pytest.mark.parametrize("layer", [0, 4])
def test_the_forward_pass_that_makes_it_is_named(layer):
    model = network(nn.Identity())
    with torch.no_grad():
        model[layer].bias[0] = torch.nan
    origin = origin_of_nonfinite(model, images())
    assert origin == Origin(False, str(layer), type(model[layer]).__name__)
    assert str(origin) == f"the forward pass of `{layer}` ({type(model[layer]).__name__})"


def test_the_networks_own_forward_has_no_name_of_a_module():
    origin = origin_of_nonfinite(RootOfZero(), images().flatten(1))
    assert origin == Origin(True, "", "SqrtBackward0")
    assert str(origin) == "the backward pass of the network's own forward (SqrtBackward0)"


def test_the_gradient_that_was_taken_decides():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    assert origin_of_nonfinite(model, images(), torch.full((3, 2), 1e38)) is None
    with torch.no_grad():
        model[1].weight.fill_(1e10)
    assert origin_of_nonfinite(model, images(), torch.full((3, 2), 1e38)).backward


def test_finite_networks_have_no_origin_and_keep_no_hooks():
    model = network(nn.Identity()).requires_grad_()
    with torch.inference_mode():
        assert origin_of_nonfinite(model, images()) is None
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert origin_of_nonfinite(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).requires_grad_(False), images()) is None


def test_hooks_go_when_the_network_fails():
    class Failing(nn.Module):
        def forward(self, x):
            raise ZeroDivisionError

    model = network(Failing())
    with pytest.raises(ZeroDivisionError):
        origin_of_nonfinite(model, images())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_compiled_network_is_run_as_it_was_written():
    model = torch.compile(network(RootOfZero()), backend="eager")
    assert origin_of_nonfinite(model, images()) == Origin(True, "2.1", "SqrtBackward0")
