"""Operations that the faster implementations don't know: they alone are computed by their modules."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dsrna.nn.average_pool import AveragePool2d
from dsrna.nn.edges.compiled.library import cpp_compiler
from dsrna.nn.edges.implementation import use_implementation
from dsrna.nn.edges.mixed_edges import MixedEdges
from dsrna.nn.operations import SeparableConv
from dsrna.nn.relu_conv_bn import ReluConvBn
from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.darts import Darts
from dsrna.strategies.hypergradient import InnerStep
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.strategies.unrolled import Unrolled
from dsrna.types import CellWeights

KINDS = ("compiled", "batched") if cpp_compiler() else ("batched",)
ENDS = ((0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
PLAIN = ("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3", "nor_conv_3x3")
CHANNELS, PLACE = 4, len(PLAIN)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


class Doubled(SeparableConv):
    """A known operation's structure, and another function."""

    def forward(self, x):
        return 2 * super().forward(x)


class HalvedNorm(nn.BatchNorm2d):
    """Torch's weights and statistics, and another function."""

    def forward(self, x):
        return super().forward(x) / 2


def with_halved_norms():
    operation = SeparableConv(CHANNELS, CHANNELS, 3, 1, False)
    for module in operation.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = HalvedNorm
    return operation


def with_norm(*layers, channels=CHANNELS, **settings):
    return nn.Sequential(*layers, nn.BatchNorm2d(channels, affine=False, **settings))


def convolution(**settings):
    return nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False, **settings)


MADE = {
    "a subclass": lambda: Doubled(CHANNELS, CHANNELS, 3, 1, False),
    "norms of a class of their own": with_halved_norms,
    "a pooling and more": lambda: nn.Sequential(*with_norm(nn.MaxPool2d(3, 1, 1)), nn.Tanh()),
    "a pooling without its norm": lambda: nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Tanh()),
    "another divisor": lambda: with_norm(AveragePool2d(3, 1, 1, False, False, divisor_override=4)),
    "another momentum": lambda: with_norm(nn.ReLU(), convolution(), momentum=0.3),
    "another eps": lambda: with_norm(nn.ReLU(), convolution(), eps=0.1),
    "a scale": lambda: ReluConvBn(CHANNELS, CHANNELS, 3, 1, True),
    "a wider norm": lambda: nn.Sequential(
        *with_norm(nn.ReLU(), nn.Conv2d(CHANNELS, 6, 1, bias=False), channels=6),
        *with_norm(nn.ReLU(), nn.Conv2d(6, CHANNELS, 1, bias=False)),
    ),
    "circular padding": lambda: with_norm(nn.ReLU(), convolution(padding_mode="circular")),
}  # fmt: skip
KNOWN_TO_BATCHED = ("sep_conv_7x7", "conv_7x1_1x7", "another divisor")


def build(name, stride=1, partial_channels=1, on=(0, 3)):
    """Edges of which some have an operation that at least the kernels don't know."""
    known = name if name not in MADE else "skip_connect"
    allowed = [(*PLAIN, known) if index in on else PLAIN for index in range(len(ENDS))]
    edges = MixedEdges(
        ENDS, (*PLAIN, known), CHANNELS * partial_channels, lambda source: stride if source < 2 else 1,
        partial_channels, allowed,
    )  # fmt: skip
    for index in on if name in MADE else ():
        edges[index].operations[PLACE] = MADE[name]()
    return edges.double()


def left(name, kind, on):
    """Edge -> places of what is to be left to the modules."""
    if kind == "batched" and name in KNOWN_TO_BATCHED and len(on) == len(ENDS):
        return {index: [] for index in range(len(ENDS))}
    sources = {ENDS[index][0] for index in on}  # batched: the same operation on all edges that leave a node, or on none
    return {
        index: [PLACE] if (index in on if kind == "compiled" else source in sources) else []
        for index, (source, _) in enumerate(ENDS)
    }


def calls(edges, inputs, weights):
    """Nodes, and gradients in inputs, weights and parameters of sums that weigh each value differently."""
    inputs = [x.clone().requires_grad_() for x in inputs]
    weights = CellWeights(*(None if each is None else each.clone().requires_grad_() for each in weights))
    torch.manual_seed(7)  # of the noise
    nodes = edges(inputs, weights)[2:]
    draws = torch.Generator().manual_seed(8)
    loss = sum((node * torch.randn(node.shape, generator=draws, dtype=node.dtype)).sum() for node in nodes)
    wanted = [*inputs, *(each for each in weights if each is not None), *edges.parameters()]
    return [*nodes, *torch.autograd.grad(loss, wanted)]


def expect_equal(found, expected, tolerance):
    for value, right in zip(found, expected, strict=True):
        assert (value - right).norm() <= tolerance * right.norm() + tolerance * 1e-3


def test_norms_that_are_all_of_a_class_of_their_own_are_left_to_their_modules(kind):
    torch.manual_seed(0)
    reference = build("skip_connect")
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = HalvedNorm
    inputs = [torch.randn(3, CHANNELS, 6, 5, dtype=torch.float64) for _ in range(2)]
    weights = CellWeights(torch.rand(len(ENDS), PLACE + 1, dtype=torch.float64))
    fast = copy.deepcopy(reference)
    fast.implementation = kind
    expect_equal(calls(fast, inputs, weights), calls(reference, inputs, weights), 1e-9)


@pytest.mark.parametrize("on", [(0, 3), tuple(range(len(ENDS)))], ids=["two edges", "all edges"])
@pytest.mark.parametrize("name", ["noise", "sep_conv_7x7", "conv_7x1_1x7", *MADE])
def test_they_alone_are_left_to_their_modules(kind, name, on):
    torch.manual_seed(0)
    reference = build(name, on=on)
    inputs = [torch.randn(3, CHANNELS, 6, 5, dtype=torch.float64) for _ in range(2)]
    weights = CellWeights(torch.rand(len(ENDS), PLACE + 1, dtype=torch.float64))
    fast = copy.deepcopy(reference)
    fast.implementation = kind
    assert fast.left(fast.fused(kind)) == left(name, kind, on)
    assert fast.objection(kind, inputs, weights) is None
    for training in (True, False):
        for edges in (reference, fast):
            edges.train(training)
        expect_equal(calls(fast, inputs, weights), calls(reference, inputs, weights), 1e-7)
        torch.testing.assert_close(dict(fast.named_buffers()), dict(reference.named_buffers()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(("stride", "partial_channels", "with_edges"), [(2, 1, True), (1, 2, True), (2, 2, False)])
def test_with_strides_partial_channels_and_edge_weights(kind, stride, partial_channels, with_edges, dtype):
    torch.manual_seed(1)
    reference = build("noise", stride, partial_channels).to(dtype)
    reference[3].operations[PLACE - 1] = ReluConvBn(CHANNELS, CHANNELS, 3, stride, True).to(dtype)
    inputs = [torch.randn(3, CHANNELS * partial_channels, 7, 6, dtype=dtype) for _ in range(2)]
    weights = CellWeights(torch.rand(5, PLACE + 1, dtype=dtype), torch.rand(5, dtype=dtype) if with_edges else None)
    fast = copy.deepcopy(reference)
    fast.implementation = kind
    assert fast.objection(kind, inputs, weights) is None
    tolerance = 1e-3 if dtype == torch.float32 else 1e-7
    expect_equal(calls(fast, inputs, weights), calls(reference, inputs, weights), tolerance)


def test_a_node_whose_edges_have_nothing_else_and_a_cell_of_such(kind):
    torch.manual_seed(2)
    reference = MixedEdges(ENDS, ("none", "skip_connect", "noise"), 4, lambda source: 1).double()
    for index, (source, _) in enumerate(ENDS):
        if source == 1:
            reference[index].operations[1] = nn.Tanh()
    inputs = [torch.randn(2, 4, 4, 4, dtype=torch.float64) for _ in range(2)]
    weights = CellWeights(torch.rand(5, 3, dtype=torch.float64))
    fast = copy.deepcopy(reference)
    fast.implementation = kind
    assert [fused.idle for fused in fast.fused(kind).values()] == [False, True, False]
    assert fast.objection(kind, inputs, weights) is None
    expect_equal(calls(fast, inputs, weights), calls(reference, inputs, weights), 1e-9)
    for edges in (reference, fast):
        for edge in edges:
            edge.operations[1] = nn.Tanh()
    assert fast.objection(kind, inputs, weights) == "none of the operations is known"
    expect_equal(calls(fast, inputs, weights), calls(reference, inputs, weights), 1e-15)


def supernet(*primitives):
    torch.manual_seed(3)
    space = DartsSpace(nodes=2, primitives=primitives)
    made = space.supernet((3, 8, 8), 4, 3, 4)
    return RelaxedSupernet(made, Darts().initial(space, torch.Generator().manual_seed(4))).double()


@pytest.mark.slow
@pytest.mark.parametrize("derivative", ["exact", "finite_difference"])
def test_a_second_order_step_is_the_references(kind, derivative):
    reference = supernet("noise", "skip_connect", "sep_conv_3x3", "sep_conv_7x7")
    fast = copy.deepcopy(reference)
    assert "noise" in use_implementation(fast, kind)
    draws = torch.Generator().manual_seed(5)
    x = torch.rand(2, 6, 3, 8, 8, generator=draws, dtype=torch.float64)
    y = torch.randint(4, (2, 6), generator=draws)
    steps = []
    for model in (reference, fast):

        def loss(half, model=model):
            torch.manual_seed(6)
            return F.cross_entropy(model(x[half]), y[half])

        gradient = Unrolled(derivative)(
            lambda loss=loss: loss(0), lambda loss=loss: loss(1), list(model.architecture.parameters()),
            list(model.supernet.parameters()), InnerStep(0.05, 0.9, 3e-4, []),
        )  # fmt: skip
        steps.append([gradient.loss, *gradient.gradients])
    expect_equal(steps[1], steps[0], 1e-6)


@pytest.mark.skipif("compiled" not in KINDS, reason="no C++ compiler")
def test_what_is_left_is_said():
    model = supernet("noise", "skip_connect", "sep_conv_3x3")
    assert use_implementation(model) == "compiled (15 of 15 edges partly by modules: noise)"
    model = supernet("skip_connect", "sep_conv_3x3")
    model.supernet.cells[1].edges[2].operations[0] = nn.Tanh()
    assert use_implementation(model) == "compiled (1 of 15 edges partly by modules: skip_connect)"
    for edge in model.supernet.cells[1].edges:
        edge.operations = nn.ModuleList(nn.Tanh() for _ in edge.operations)
    assert use_implementation(model, "compiled").startswith("compiled (it was asked for) (5 of 15 edges")


@pytest.mark.skipif("compiled" not in KINDS, reason="no C++ compiler")
@pytest.mark.parametrize(
    ("primitives", "says"),
    [
        ("sep_conv_7x7 sep_conv_3x3 dil_conv_5x5", "compiled (4 of 4 edges partly by modules: sep_conv_7x7)"),
        ("sep_conv_7x7 sep_conv_3x3", "batched (the compiled kernels know 4 of the 8 operations that it computes)"),
        ("noise sep_conv_3x3", "compiled (4 of 4 edges partly by modules: noise)"),
    ],
)
def test_the_batched_form_is_taken_where_it_knows_twice_as_many(primitives, says):
    supernet = DartsSpace(nodes=1, primitives=("none", *primitives.split())).supernet(
        (3, 8, 8), classes=4, cells=2, channels=4
    )
    assert use_implementation(supernet) == says
    assert use_implementation(supernet, "compiled").startswith("compiled (it was asked for)")
