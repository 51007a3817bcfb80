"""Every operation against a textbook computation with torch.nn.functional alone."""

from importlib.metadata import EntryPoint

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dsrna.errors import ConfigError
from dsrna.nn.depthwise_conv import DepthwiseConv2d
from dsrna.nn.factorized_reduce import FactorizedReduce
from dsrna.nn.operations import OPERATIONS, supernet_operation, table
from dsrna.nn.relu_conv_bn import ReluConvBn

NAMES = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "nor_conv_1x1",
    "nor_conv_3x3",
    "sep_conv_7x7",
)
EVERY = (*NAMES, "conv_7x1_1x7", "noise")


def batch_norm(x):
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5)


def depthwise_by_shifts(x, kernel, stride, dilation):
    """Depthwise convolution as a sum of shifted, scaled maps."""
    size = kernel.shape[-1]
    reach = dilation * (size // 2)
    padded = F.pad(x, (reach,) * 4)
    height, width = x.shape[-2:]
    total = 0
    for row in range(size):
        for column in range(size):
            top, left = row * dilation, column * dilation
            shifted = padded[:, :, top : top + height, left : left + width]
            total = total + shifted * kernel[:, 0, row, column].view(1, -1, 1, 1)
    return total[:, :, ::stride, ::stride]


def convolution_by_shifts(x, kernel, stride):
    """Convolution as a sum over the kernel's positions of channel mixtures of shifted maps."""
    size = kernel.shape[-1]
    padded = F.pad(x, (size // 2,) * 4)
    height, width = x.shape[-2:]
    total = 0
    for row in range(size):
        for column in range(size):
            shifted = padded[:, :, row : row + height, column : column + width]
            total = total + torch.einsum("oc,nchw->nohw", kernel[:, :, row, column], shifted)
    return total[:, :, ::stride, ::stride]


def windows(x, stride, fill):
    """(N, C, 9, H', W'): the 3 x 3 neighbours of every stride-th pixel, with `fill` outside the map."""
    height, width = x.shape[-2:]
    padded = F.pad(x, (1, 1, 1, 1), value=fill)
    shifts = [padded[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return torch.stack(shifts, dim=2)[..., ::stride, ::stride]


def reference(name, weights, x, stride):
    if name == "none":
        return torch.zeros_like(x[:, :, ::stride, ::stride])
    if name == "max_pool_3x3":
        return windows(x, stride, float("-inf")).amax(dim=2)
    if name == "avg_pool_3x3":
        inside = windows(torch.ones_like(x), stride, 0.0).sum(dim=2)
        return windows(x, stride, 0.0).sum(dim=2) / inside
    if name == "skip_connect":
        if stride == 1:
            return x
        r = x.relu()
        even, odd = (torch.einsum("oc,nchw->nohw", w[:, :, 0, 0], r[:, :, i::2, i::2]) for i, w in enumerate(weights))
        return batch_norm(torch.cat([even, odd], dim=1))
    size = int(name[-1])
    if name.startswith("nor"):
        return batch_norm(convolution_by_shifts(x.relu(), weights[0], stride))
    dilation = 2 if name.startswith("dil") else 1
    for depthwise, pointwise in zip(weights[::2], weights[1::2], strict=True):
        assert depthwise.shape[-1] == size
        x = depthwise_by_shifts(x.relu(), depthwise, stride, dilation)
        x = batch_norm(torch.einsum("oc,nchw->nohw", pointwise[:, :, 0, 0], x))
        stride = 1
    return x


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_operation_equals_textbook(name, stride):
    torch.manual_seed(0)
    operation = OPERATIONS[name](6, 6, stride, False).double()
    x = torch.randn(3, 6, 8, 10, dtype=torch.float64)
    before = x.clone()
    weights = [p for p in operation.parameters() if p.dim() == 4]
    assert len(weights) == {"sep": 4, "dil": 2, "nor": 1}.get(
        name[:3], 2 if (name, stride) == ("skip_connect", 2) else 0
    )
    torch.testing.assert_close(operation(x), reference(name, weights, x, stride))
    assert torch.equal(x, before)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_in_two_directions_is_that_of_kernels_with_zeros_around(stride):
    torch.manual_seed(0)
    operation = OPERATIONS["conv_7x1_1x7"](3, 5, stride, False).double()
    x = torch.randn(2, 3, 8, 10, dtype=torch.float64)
    row, column = operation.parameters()
    row, column = F.pad(row, (0, 0, 3, 3)), F.pad(column, (3, 3, 0, 0))
    expected = batch_norm(convolution_by_shifts(convolution_by_shifts(x.relu(), row, 1), column, stride))
    torch.testing.assert_close(operation(x), expected)


@pytest.mark.parametrize("stride", [1, 2])
def test_noise_is_standard_normal_while_training_and_nothing_after(stride):
    torch.manual_seed(0)
    operation, x = OPERATIONS["noise"](4, 4, stride, True), 100 * torch.rand(64, 4, 16, 16)
    found = operation(x)
    assert found.mean().abs() < 0.02
    assert (found.std() - 1).abs() < 0.02
    assert not torch.equal(operation(x), found)
    assert torch.equal(operation.eval()(x), torch.zeros_like(found))


def test_operations_of_other_packages_are_found_by_their_entry_points(monkeypatch):
    points = {"tanh": EntryPoint("tanh", "torch.nn:Tanh", table.GROUP), "none": EntryPoint("none", "no:where", "")}
    monkeypatch.setattr(table, "_of_packages", lambda: points)
    assert OPERATIONS["tanh"] is nn.Tanh
    assert [*OPERATIONS][-1] == "tanh"
    assert "tanh" in OPERATIONS
    assert OPERATIONS["none"](2, 2, 1, True)(torch.ones(1, 2, 3, 3)).sum() == 0
    with pytest.raises(KeyError):
        OPERATIONS["no_such_operation"]


def test_a_name_belongs_to_one_operation():
    with pytest.raises(ConfigError, match=r"Expected a new name for .*Tanh.*, got 'noise'"):
        table.operation("noise")(nn.Tanh)
    table.operation("noise")(OPERATIONS["noise"])  # a module that is imported again


def test_the_table_begins_with_the_operations_of_darts_and_nasbench201_in_their_order():
    assert set(EVERY) <= set(OPERATIONS)
    assert tuple(OPERATIONS)[: len(NAMES)] == NAMES
    assert len(OPERATIONS) == len(set(OPERATIONS))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", EVERY)
def test_double_backward_agrees_with_finite_differences(name, stride):
    torch.manual_seed(1)
    operation = OPERATIONS[name](2, 2, stride, True).double().eval()
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(operation, (x,))
    assert torch.autograd.gradgradcheck(operation, (x,))


@pytest.mark.parametrize("name", EVERY)
def test_odd_maps_are_halved_rounding_up_like_the_other_operations(name):
    torch.manual_seed(2)
    x = torch.randn(2, 4, 7, 5)
    assert OPERATIONS[name](4, 4, 2, False)(x).shape == (2, 4, 4, 3)


def test_factorized_reduce_of_an_odd_map_treats_the_missing_pixels_as_zeros():
    torch.manual_seed(3)
    layer = FactorizedReduce(3, 5, affine=True).double()
    x = torch.randn(2, 3, 7, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(x), layer(F.pad(x, (0, 1, 0, 1))))


def test_relu_conv_bn_equals_textbook():
    torch.manual_seed(4)
    layer = ReluConvBn(3, 5, 1, 1, affine=False).double()
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(
        layer(x), batch_norm(torch.einsum("oc,nchw->nohw", layer[1].weight[:, :, 0, 0], x.relu()))
    )


@pytest.mark.parametrize("name", EVERY)
def test_affine_switches_scale_and_shift_of_every_batchnorm(name):
    for affine in (False, True):
        norms = [m for m in OPERATIONS[name](4, 4, 2, affine).modules() if isinstance(m, nn.BatchNorm2d)]
        assert all(norm.affine is affine for norm in norms)
        assert len(norms) == {"sep": 2, "dil": 1, "ski": 1, "nor": 1, "con": 1}.get(name[:3], 0)


@pytest.mark.parametrize("name", ["max_pool_3x3", "avg_pool_3x3"])
def test_pooling_in_a_supernet_is_normalised(name):
    torch.manual_seed(5)
    x = torch.randn(3, 4, 6, 6, dtype=torch.float64)
    operation = supernet_operation(name, 4, 2).double()
    torch.testing.assert_close(operation(x), batch_norm(reference(name, [], x, 2)))
    assert list(operation.parameters()) == []


@pytest.mark.parametrize("name", ["none", "max_pool_3x3", "avg_pool_3x3", "skip_connect", "noise"])
def test_operations_without_convolution_refuse_to_change_channels(name):
    with pytest.raises(ConfigError, match=f"{name} can't change the number of channels"):
        OPERATIONS[name](4, 8, 1, True)


@pytest.mark.parametrize("name", ["sep_conv_3x3", "dil_conv_5x5", "nor_conv_1x1", "nor_conv_3x3"])
def test_convolutions_change_channels(name):
    assert OPERATIONS[name](4, 6, 2, True)(torch.zeros(1, 4, 8, 8)).shape == (1, 6, 4, 4)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("pixels", [(9, 7), (4, 6), (1, 2)])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 3, 5, 7])
def test_depthwise_convolutions_have_torchs_values_and_derivatives_of_both_orders(
    size, stride, dilation, pixels, memory
):
    torch.manual_seed(0)
    layer = DepthwiseConv2d(4, size, stride, dilation).double()
    x = torch.randn(2, 4, *pixels, dtype=torch.float64).contiguous(memory_format=memory).requires_grad_()
    found = []
    for convolve in (layer, lambda x: nn.Conv2d.forward(layer, x)):
        output = convolve(x)
        gradients = torch.autograd.grad((output.sin()).sum(), [x, layer.weight], create_graph=True)
        slope = sum(gradient.square().sum() for gradient in gradients)
        found.append([output, *gradients, *torch.autograd.grad(slope, [x, layer.weight])])
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-10)


def test_depthwise_convolutions_follow_forward_mode_vmap_and_tracing():
    layer = DepthwiseConv2d(3, 3, 1, 2).double()
    x, direction = torch.randn(2, 2, 3, 6, 6, dtype=torch.float64).unbind()
    _, slope = torch.func.jvp(layer, (x,), (direction,))
    torch.testing.assert_close(slope, layer(direction))
    torch.testing.assert_close(torch.func.vmap(layer)(torch.stack([x, direction]))[1], layer(direction))
    torch.testing.assert_close(torch.jit.trace(layer, x)(direction), layer(direction))
