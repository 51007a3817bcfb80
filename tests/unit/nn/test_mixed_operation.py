"""The mixed operation against explicit sums, with and without partial channels."""

import pytest
import torch
from torch.nn import functional as F

from dsrna.errors import ConfigError
from dsrna.nn.edges.mixed_operation import MixedOperation
from dsrna.nn.operations import OPERATIONS

PRIMITIVES = tuple(name for name in OPERATIONS if name != "noise")


def mixed(channels, stride, partial_channels=1):
    torch.manual_seed(0)
    return MixedOperation(PRIMITIVES, channels, stride, partial_channels).double()


@pytest.mark.parametrize("stride", [1, 2])
def test_is_the_weighted_sum_of_its_operations_in_the_order_of_primitives(stride):
    edge = mixed(4, stride)
    x = torch.randn(3, 4, 6, 6, dtype=torch.float64)
    weights = torch.rand(len(PRIMITIVES), dtype=torch.float64)
    edge.eval()
    expected = torch.stack([operation(x) for operation in edge.operations])
    torch.testing.assert_close(edge(x, weights), torch.einsum("o,onchw->nchw", weights, expected))
    # the order of the modules is the order of the names
    pooled = F.batch_norm(F.max_pool2d(x, 3, stride, 1), *(torch.zeros(4).double(), torch.ones(4).double()))
    torch.testing.assert_close(edge(x, F.one_hot(torch.tensor(1), len(PRIMITIVES)).double()), pooled)


def test_a_weight_of_zero_has_its_operations_output_as_gradient():
    edge = mixed(4, 1).eval()
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    weights = torch.zeros(len(PRIMITIVES), dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(edge(x, weights).sum(), weights)
    torch.testing.assert_close(gradient, torch.stack([operation(x).sum() for operation in edge.operations]))
    assert gradient[0] == 0
    assert (gradient[1:] != 0).all()


@pytest.mark.parametrize("size", [6, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_partial_channels_equal_a_few_line_reference(stride, size):
    channels, k = 12, 4
    edge = mixed(channels, stride, k).eval()
    x = torch.randn(2, channels, size, size, dtype=torch.float64)
    weights = torch.rand(len(PRIMITIVES), dtype=torch.float64)
    first = sum(w * operation(x[:, :3]) for w, operation in zip(weights, edge.operations, strict=True))
    rest = x[:, 3:] if stride == 1 else F.max_pool2d(F.pad(x[:, 3:], (0, size % 2) * 2, value=-torch.inf), 2)
    both = torch.cat([first, rest], dim=1)
    order = [group * (channels // k) + i for i in range(channels // k) for group in range(k)]
    torch.testing.assert_close(edge(x, weights), both[:, order])


def test_partial_channels_run_operations_on_a_part_alone():
    assert sum(p.numel() for p in mixed(16, 1, 4).parameters()) == sum(p.numel() for p in mixed(4, 1).parameters())


@pytest.mark.parametrize(("channels", "partial"), [(6, 4), (4, 0)])
def test_partial_channels_must_divide_the_channels(channels, partial):
    with pytest.raises(ConfigError, match=f"partial_channels.*got {partial} for {channels} channels"):
        MixedOperation(PRIMITIVES, channels, 1, partial)


@pytest.mark.slow
@pytest.mark.parametrize("partial", [1, 2])
def test_first_and_second_derivatives_in_weights_and_image(partial):
    torch.manual_seed(3)
    edge = MixedOperation(("none", "avg_pool_3x3", "skip_connect", "sep_conv_3x3"), 4, 2, partial).double().eval()
    x = torch.randn(1, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(edge, (x, weights))
    assert torch.autograd.gradgradcheck(edge, (x, weights))


def test_refuses_weights_of_another_length():
    with pytest.raises(ValueError, match="longer"):
        mixed(4, 1)(torch.zeros(2, 4, 4, 4, dtype=torch.float64), torch.ones(3, dtype=torch.float64))
