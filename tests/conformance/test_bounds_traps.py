"""Why networks are lowered before auto_LiRPA sees them: what it does with operations of our spaces as they are.

Should one of these tests fail with a newer version, then that version handles the operation, and lowering it may have
become unnecessary.
"""

import copy
from importlib.metadata import version

import pytest
import torch
from torch import nn

from dsrna.bounds.auto_lirpa import AutoLirpa
from dsrna.bounds.compat import auto_lirpa, bounded_module
from dsrna.bounds.engine import BoundEngine, Bounds
from dsrna.bounds.margin_matrix import margin_matrix
from dsrna.errors import MissingPartError
from dsrna.nn.operations import OPERATIONS, supernet_operation
from dsrna.testing.bound_conformance import check_bounds


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3)).double()


def images(dtype=torch.float64, size=(4, 5)):
    return torch.rand(3, 2, *size, generator=torch.Generator().manual_seed(0), dtype=dtype)


class Unlowered(BoundEngine):
    """auto_LiRPA on a network as it is."""

    def __init__(self, method, conv_mode="matrix"):
        super().__init__("linf")
        self.method = method
        self.conv_mode = conv_mode

    def bound(self, model, x, eps, y):
        library = auto_lirpa()
        bounded = bounded_module(copy.deepcopy(model), x, self.conv_mode)
        reach = eps.view(-1, 1, 1, 1)
        ball = library.PerturbationLpNorm(norm=float("inf"), x_L=(x - reach).clamp(min=0), x_U=(x + reach).clamp(max=1))
        classes = bounded.final_shape[1]
        matrix = torch.eye(classes).expand(len(x), -1, -1) if y is None else margin_matrix(y, classes, x)
        ends = bounded.compute_bounds(x=(library.BoundedTensor(x, ball),), C=matrix, method=self.method)
        return Bounds(*(end.detach() for end in ends))


def around(operation):
    """A network with an operation in the middle, for images (2, 8, 8)."""
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU())
    rest = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU(), nn.Flatten())
    features = rest(operation(stem(torch.zeros(2, 2, 8, 8)))).shape[1]
    return nn.Sequential(*stem, operation, *rest, nn.Linear(features, 3))


@pytest.fixture
def _auto_lirpa_0_3():
    try:
        auto_lirpa()
    except MissingPartError as error:
        pytest.skip(str(error))
    if version("auto_LiRPA") != "0.3":
        pytest.skip(f"these tests document auto_LiRPA 0.3; {version('auto_LiRPA')} is installed")


OUTSIDE = "(sampled point|attack) is .* (below the lower|above the upper) end"

SILENTLY_WRONG = {
    "depthwise convolution in patches mode": (lambda: nn.Conv2d(4, 4, 3, padding=1, groups=4), "patches", OUTSIDE),
    "dilated convolution in patches mode": (lambda: nn.Conv2d(4, 4, 3, padding=2, dilation=2), "patches", OUTSIDE),
    "average pooling that counts no padding": (
        lambda: OPERATIONS["avg_pool_3x3"](4, 4, 1, True),
        "matrix",
        "not tight at eps 0",
    ),
}


@pytest.mark.usefixtures("_auto_lirpa_0_3")
@pytest.mark.parametrize("name", SILENTLY_WRONG)
def test_unlowered_bounds_are_silently_wrong(name):
    build, conv_mode, message = SILENTLY_WRONG[name]
    x = images(torch.float32, (8, 8))
    with pytest.raises(AssertionError, match=message):
        check_bounds(Unlowered("CROWN", conv_mode), "linf", around(build()), x, 0.01)
    check_bounds(AutoLirpa("linf", method="CROWN"), "linf", around(build()), x, 0.01)
    check_bounds(AutoLirpa("linf"), "linf", around(build()), x, 0.01)


REFUSED = {
    "max pooling of stride 1": (lambda: OPERATIONS["max_pool_3x3"](4, 4, 1, True), ValueError),
    "strided slice": (lambda: OPERATIONS["none"](4, 4, 2, True), AssertionError),
    "BatchNorm without scale and shift": (lambda: supernet_operation("dil_conv_3x3", 4, 1), AttributeError),
}


@pytest.mark.usefixtures("_auto_lirpa_0_3")
@pytest.mark.parametrize("method", ["CROWN", "CROWN-IBP"])
@pytest.mark.parametrize("name", REFUSED)
def test_unlowered_operations_fail_without_a_helpful_message(name, method):
    build, error = REFUSED[name]
    network = around(build()).eval()
    with pytest.raises(error):
        Unlowered(method)(network, images(torch.float32, (8, 8)), 0.05)


@pytest.mark.usefixtures("_auto_lirpa_0_3")
def test_unlowered_model_is_changed():
    model = small_network().float()
    model[0].weight.requires_grad_(False)
    x = images(torch.float32)
    bounded_module(model.eval(), x).compute_bounds(
        x=(auto_lirpa().BoundedTensor(x, auto_lirpa().PerturbationLpNorm(eps=0.1)),), method="IBP"
    )
    assert model[0].weight.requires_grad
