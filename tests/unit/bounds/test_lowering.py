"""A lowered network computes what the network computes, out of sound operations alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from dsrna.bounds.lowering.graph import Graph
from dsrna.bounds.lowering.kernels import Pads, dense_kernel
from dsrna.bounds.lowering.lower import lower
from dsrna.bounds.lowering.lowered_network import Add, Concat, LoweredNetwork, Mask
from dsrna.bounds.lowering.plain import plain
from dsrna.bounds.lowering.rearrangement import as_rearrangement
from dsrna.errors import UnsupportedError
from dsrna.nn.factorized_reduce import FactorizedReduce
from dsrna.nn.operations import OPERATIONS, supernet_operation
from dsrna.nn.relu_conv_bn import ReluConvBn
from dsrna.spaces.darts.published import published
from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.darts import Darts
from dsrna.strategies.pcdarts import PCDarts
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.testing.tiny_networks import TinyMixedNetwork
from tests.thorough import examples

SOUND = (nn.Conv2d, nn.Linear, nn.ReLU, nn.Flatten, nn.Identity, Add, Concat, Mask)


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


def check_equal(network, *shape, modes=True):
    randomise(network).train()
    x = torch.randn(3, *shape, dtype=torch.float64)
    lowered = lower(network, x)
    assert network.training
    for operation in lowered.operations:
        assert type(operation) in SOUND
        if isinstance(operation, nn.Conv2d):
            assert (operation.groups, operation.dilation, operation.padding_mode) == (1, (1, 1), "zeros")
    without = lower(network, x, without_concat=True)
    assert {type(operation) for operation in without.operations}.isdisjoint((Concat, Mask))
    network.eval()
    torch.testing.assert_close(lowered(x), network(x))
    torch.testing.assert_close(without(x), network(x))
    return lowered


@pytest.mark.parametrize("size", [(8, 8), (7, 4), (5, 9)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name, stride, size):
    torch.manual_seed(0)
    check_equal(OPERATIONS[name](4, 4, stride, True), 4, *size)
    check_equal(supernet_operation(name, 4, stride), 4, *size)


PIECES = {
    "preprocess": ReluConvBn(3, 5, 1, 1, False),
    "relu_conv_bn": ReluConvBn(3, 5, 3, 2, True),
    "factorized_reduce": FactorizedReduce(3, 5, True),
    "grouped": nn.Conv2d(4, 6, 3, 2, (0, 2), (2, 1), groups=2),
    "two_pointwise": nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 5, 1), nn.Conv2d(5, 2, 1, 2)),
    "pointwise_with_padding": nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 1, padding=1)),
    "max_pool_2": nn.MaxPool2d(2),
    "max_pool_2_ceil": nn.MaxPool2d(2, ceil_mode=True),
    "max_pool_unequal": nn.MaxPool2d((1, 4), (2, 3), (0, 1)),
    "max_pool_5": nn.MaxPool2d(5, 1, 2),
    "avg_pool_with_padding": nn.AvgPool2d((3, 2), 2, 1),
    "adaptive": nn.AdaptiveAvgPool2d(1),
    "head": nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(4 * 7 * 10, 6), nn.Linear(6, 3), nn.ReLU()),
}


@pytest.mark.parametrize("name", PIECES)
def test_piece(name):
    torch.manual_seed(1)
    channels = next((p.shape[1] for p in PIECES[name].parameters() if p.dim() == 4), 4)
    check_equal(PIECES[name], 4 if name in ("grouped", "head") else channels, 7, 10)


class TwoHalves(nn.Module):
    """Concatenations that are added up, with others and with a whole, and read by each layer that may read one."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = (nn.Conv2d(2, channels, 3, padding=1) for channels in (1, 3, 2))
        self.pool, self.read = nn.AvgPool2d(3, 1, 1, count_include_pad=False), nn.Linear(8 * 7 * 5 + 12, 3)

    def forward(self, x):
        one, other, even = self.first(x), self.second(x), self.third(x)
        same = torch.cat([one, other], 1) + torch.cat([one.relu(), other], 1).relu()
        crossed = torch.cat([one, other], 1) + torch.cat([other, one], 1) + torch.cat([even, even], 1)
        maps = torch.cat([self.pool(torch.cat([same, one], 1)), crossed[:, :3]], 1)
        means = torch.cat([maps, same], 1).mean((2, 3))
        return self.read(torch.cat([maps.flatten(1), means], 1))


def test_parts_of_concatenations_meet_each_other():
    torch.manual_seed(8)
    check_equal(TwoHalves(), 2, 7, 5)


def test_factors_that_are_no_column_times_a_row_are_refused():
    graph = Graph(like=torch.zeros(0))
    masked = graph.mask(graph.input((1, 2, 2)), torch.tensor([[[[1.0, 1.0], [1.0, 2.0]]]]))
    with pytest.raises(UnsupportedError, match="a column times a row"):
        plain(masked, graph)


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("name", ["DARTS_V1", "DARTS_V2", "PC_DARTS", "AdvRush", "RACL", "E2RNAS", "RNAS"])
def test_derived_network(name, stem):
    torch.manual_seed(2)
    shape = (3, 8, 9) if stem == "cifar" else (3, 33, 35)
    network = DartsSpace().network(
        published(name), shape, 5, 3, 4, stem=stem, drop_path=0.3, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)
    )
    check_equal(network, *shape)


def relaxed(shape=(3, 8, 9), partial_channels=1, cells=3):
    space = DartsSpace(nodes=2)
    supernet = space.supernet(shape, 5, cells, 4, partial_channels, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    strategy = Darts(1.0) if partial_channels == 1 else PCDarts(init_scale=1.0)
    return RelaxedSupernet(supernet, strategy.initial(space))


@pytest.mark.slow
@pytest.mark.parametrize("partial_channels", [1, 2])
def test_supernet(partial_channels):
    torch.manual_seed(3)
    model = relaxed(partial_channels=partial_channels)
    lowered = check_equal(model, 3, 8, 9)
    x = torch.rand(2, 3, 8, 9, dtype=torch.float64)
    weights = model.architecture()
    torch.testing.assert_close(lower(model.supernet, x, lambda: weights)(x), lowered(x))


@pytest.mark.slow
def test_one_hot_supernet_lowers_to_the_derived_network():
    torch.manual_seed(4)
    space = DartsSpace(nodes=4)
    genotype = published("PC_DARTS")
    supernet = randomise(space.supernet((3, 8, 8), 5, 3, 4)).eval()
    weights = space.one_hot(genotype)
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    derived = space.inherit(supernet, genotype)
    torch.testing.assert_close(lower(supernet, x, lambda: weights)(x), lower(derived, x)(x))


@pytest.mark.slow
def test_values_follow_weights_statistics_and_alphas_without_new_nodes():
    torch.manual_seed(5)
    model = relaxed()
    lowered = check_equal(model, 3, 8, 9)
    operations = list(lowered.operations)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    x = torch.rand(4, 3, 8, 9, dtype=torch.float64)
    model.train()(x)  # moves the running statistics
    model.eval()
    assert not torch.allclose(lowered(x), model(x))
    lowered.refresh()
    torch.testing.assert_close(lowered(x), model(x))
    assert all(before is after for before, after in zip(operations, lowered.operations, strict=True))


def test_values_are_differentiable_in_alphas_weights_and_statistics():
    torch.manual_seed(6)
    model = relaxed(cells=1)
    lowered = check_equal(model, 3, 8, 9)
    x = torch.rand(2, 3, 8, 9, dtype=torch.float64)
    parameters = [parameter for name, parameter in model.named_parameters() if "alphas.normal" not in name]
    expected = torch.autograd.grad(model(x).square().sum(), parameters)
    logits = functional_call(lowered, lowered.values(), (x,))
    torch.testing.assert_close(torch.autograd.grad(logits.square().sum(), parameters), expected)


def test_network_is_untouched():
    torch.manual_seed(7)
    model = relaxed().train()
    model.supernet.stem.eval()
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    draws = torch.get_rng_state()
    lowered = lower(model, torch.zeros(1, 3, 8, 9))
    assert torch.equal(torch.get_rng_state(), draws)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert not {id(p) for p in lowered.parameters()} & {id(p) for p in model.parameters()}


def test_repeated_parts_are_computed_once():
    space = DartsSpace(nodes=2)
    supernet = space.supernet((3, 8, 8), 5, 1, 4)
    model = RelaxedSupernet(supernet, Darts().initial(space))
    poolings = sum(isinstance(operation, nn.MaxPool2d) for operation in supernet.modules())
    masks = sum(isinstance(operation, Mask) for operation in lower(model, torch.zeros(1, 3, 8, 8)).operations)
    # 5 edges leave 3 nodes. Even maps: reduction windows touch the top and left border alone, so that a max pooling
    # of stride 2 has 2 masks and one of stride 1 has 4; an average pooling has one.
    assert (poolings, masks) == (5, 2 * 2 + 4 + 3)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (TinyMixedNetwork(), "computed in the forward pass from weights"),
        (nn.Sequential(nn.Identity(), nn.Conv2d(2, 2, 3, padding="same")), r"1 \(Conv2d\): .*padding='same'"),
        (nn.AvgPool2d(2, ceil_mode=True), "ceil_mode"),
        (nn.AdaptiveAvgPool2d(4), "doesn't divide"),
        (nn.MaxPool2d(2, 2, padding=1), "windows whose middle lies outside"),
        (nn.Linear(6, 2), "flatten before it"),
        (nn.Unflatten(1, (1, 2)), "moving values"),
    ],
)
def test_what_cannot_be_lowered_is_refused(network, message):
    with pytest.raises(UnsupportedError, match=message):
        lower(network.double(), torch.rand(1, 2, 6, 6, dtype=torch.float64))


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 1e-12])
def test_a_wrapper_that_is_more_than_supernet_and_architecture_is_refused(scale):
    class Scaled(RelaxedSupernet):
        def forward(self, x):
            return 2 * super().forward(x)

    model = relaxed()
    with torch.no_grad():
        for parameter in model.supernet.classifier.parameters():
            parameter *= scale
    lower(model, torch.rand(2, 3, 8, 9))
    with pytest.raises(UnsupportedError, match="a difference of"):
        lower(Scaled(model.supernet, model.architecture), torch.rand(2, 3, 8, 9))


def test_dense_kernel_of_groups_and_dilation_by_hand():
    kernel = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(2, 1, 1, 2)
    expected = torch.tensor([[[1.0, 0.0, 2.0], [0.0] * 3], [[0.0] * 3, [3.0, 0.0, 4.0]]]).view(2, 2, 1, 3)
    assert torch.equal(dense_kernel(kernel, 2, (1, 2)), expected)


@pytest.mark.parametrize(
    "move",
    [
        lambda t: t[:, ::2, 1:, :-1],
        lambda t: t[:, [2, 0], ::3, ::2],
        lambda t: nn.functional.pad(t, (2, 1, 0, 3)),
        lambda t: nn.functional.pad(t, (-1, 1, 2, 0))[:, :, ::2, 1::3],
        lambda t: t.unflatten(1, (2, 2)).transpose(1, 2).flatten(1, 2),
        lambda t: t[:, :, 3:4, 4:],
    ],
)
def test_rearrangements_are_recognised(move):
    shape = (4, 6, 5)
    moved = as_rearrangement(move(torch.arange(1, 121).view(1, *shape))[0], shape)
    x = torch.randn(1, *shape)
    left, right, top, bottom = moved.pads
    padded = nn.functional.pad(x[:, moved.channels], (left, right, top, bottom))
    torch.testing.assert_close(padded[:, :, :: moved.stride[0], :: moved.stride[1]], move(x))


@pytest.mark.parametrize(
    "move", [lambda t: t.flip(3), lambda t: t.transpose(2, 3), lambda t: t.flatten(2).unflatten(2, (5, 6))]
)
def test_other_movements_are_not_taken_for_rearrangements(move):
    shape = (4, 6, 5)
    assert as_rearrangement(move(torch.arange(1, 121).view(1, *shape))[0], shape) is None


@pytest.mark.slow
@examples(60)
@given(
    pads=st.tuples(*[st.integers(-2, 3)] * 4),
    size=st.tuples(*[st.integers(1, 3)] * 2),
    stride=st.tuples(*[st.integers(1, 3)] * 2),
)
def test_convolution_with_any_pads_equals_padding_before_it(pads, size, stride):
    x, kernel = torch.randn(1, 2, 7, 8), torch.randn(3, 2, *size)
    bias, mixing = torch.randn(3), torch.randn(4, 3, 1, 1)
    graph = Graph(like=x.new_empty(0))
    node = graph.conv(graph.input((2, 7, 8)), lambda w: kernel, lambda w: bias, 3, size, stride, Pads(*pads))
    merged = graph.conv(node, lambda w: mixing, None, 4, stride=(1, 2))
    expected = F.conv2d(F.pad(x, pads), kernel, bias, stride)
    for output, values in ((node, expected), (merged, F.conv2d(expected, mixing, stride=(1, 2)))):
        network = LoweredNetwork(graph, output)
        assert len(network.operations) == 2  # the image, and one convolution
        torch.testing.assert_close(network(x), values, rtol=1e-4, atol=1e-5)
        assert values.shape[1:] == output.shape
