"""Every bound engine keeps the contract, on every operation, on cells and on random networks."""

import random
from functools import partial
from itertools import product

import pytest
import torch
from torch import nn

from dsrna.bounds.alpha_crown import AlphaCrown
from dsrna.bounds.beta_crown import BetaCrown
from dsrna.bounds.engines import ENGINES, REFERENCE_ENGINES, bound_engine
from dsrna.errors import MissingPartError
from dsrna.nn.factorized_reduce import FactorizedReduce
from dsrna.nn.operations import OPERATIONS, supernet_operation
from dsrna.nn.relu_conv_bn import ReluConvBn
from dsrna.spaces.darts.space import DARTS_PRIMITIVES, DartsSpace
from dsrna.spaces.genotype import CellGenotype, Genotype
from dsrna.strategies.darts import Darts
from dsrna.strategies.pcdarts import PCDarts
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.testing.bound_conformance import check_bounds, check_gradient, check_linear_network
from tests.thorough import THOROUGH, thorough

NORMS = {"linf": 0.03, "l2": 0.1}
DTYPES = {"float64": torch.float64, "float32": torch.float32}


EVERY_ENGINE = (*ENGINES, *REFERENCE_ENGINES)
OUR_RELAXATIONS = ("ibp", "crown_ibp", "crown")
"""The others take over CROWN's, or are another library's."""


@pytest.fixture(params=EVERY_ENGINE)
def engine(request):
    try:
        bound_engine(request.param)
    except MissingPartError as error:
        pytest.skip(str(error))
    if request.param == "alpha_crown":
        return partial(AlphaCrown, steps=2)  # as good for the suite as 20
    return partial(bound_engine, request.param)


def randomise(network):
    """Running statistics and BatchNorm parameters as after training."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 1.5)
            if module.affine:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
    return network


def around(operation, classes=3):
    """A network with an operation in the middle, for images (2, 5, 6)."""
    stem = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4))
    size = operation(stem(torch.zeros(2, 2, 5, 6))).flatten(1).shape[1]
    return randomise(nn.Sequential(stem, operation, nn.ReLU(), nn.Flatten(), nn.Linear(size, classes)))


def agreement(engine):
    return 1e-3 if engine.func is AlphaCrown else 0.0


def check(engine, network, row, **how):
    """In l_inf and float64, or in l_2 and float32, by the row's number; in both where there is time."""
    ways = list(zip(NORMS.items(), DTYPES.values(), strict=True))
    for (norm, eps), dtype in ways if THOROUGH else [ways[row % 2]]:
        x = torch.rand(2, 2, 5, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
        check_bounds(engine(norm), norm, network.to(dtype), x, eps, agreement(engine), **how)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_network_by_hand(engine, norm, dtype):
    check_linear_network(engine(norm), norm, DTYPES[dtype])


def operation_rows():
    """Every engine on every operation; our own relaxations with both strides also where time is short."""
    names = [name for name in OPERATIONS if name not in ("none", "noise")]  # of which nothing comes
    for name, stride, kind in product(names, [1, 2], EVERY_ENGINE):
        quick = kind in OUR_RELAXATIONS or (kind, stride) in (("alpha_crown", 1), ("auto_lirpa_crown_ibp", 2))
        yield (kind, name, stride) if quick else thorough(kind, name, stride)


@pytest.mark.parametrize(("engine", "name", "stride"), [*operation_rows()], indirect=["engine"])
def test_operation(engine, name, stride):
    torch.manual_seed(0)
    check(engine, around(OPERATIONS[name](4, 4, stride, True)), list(OPERATIONS).index(name) + stride)


@pytest.mark.parametrize(("row", "name"), [*enumerate(["max_pool_3x3", "avg_pool_3x3", "sep_conv_3x3"])])
def test_supernet_form_of_operation(engine, row, name):
    torch.manual_seed(1)
    check(engine, around(supernet_operation(name, 4, 2)), row)


PIECES = {
    "preprocess": lambda: ReluConvBn(4, 6, 1, 1, False),
    "factorized_reduce": lambda: FactorizedReduce(4, 6, True),
    "max_pool_2": lambda: nn.MaxPool2d(2, ceil_mode=True),
    "global_average": lambda: nn.AdaptiveAvgPool2d(1),
    "grouped": lambda: nn.Conv2d(4, 6, 3, groups=2),
}


@pytest.mark.parametrize("name", PIECES)
def test_piece(engine, name):
    torch.manual_seed(2)
    check(engine, around(PIECES[name]()), list(PIECES).index(name))


class Permuted(nn.Module):
    """Channels last and back, with a question about the type on the way."""

    def forward(self, x):
        moved = x.permute(0, 2, 3, 1) * (2.0 if x.dtype.is_floating_point and x.is_floating_point() else 0.0)
        return torch.transpose(torch.transpose(moved.relu(), 1, 3), 2, 3)


class Last(nn.Module):
    """Channels to the end; from there, rows."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1) if x.shape[1] == 3 else x.permute(0, 3, 1, 2)


class Gated(nn.Module):
    """Products, quotients and powers of values that depend on the image."""

    def forward(self, x):
        gate = x.sigmoid()
        return x * gate + x / (1 + x * x) + (gate**2 + 0.5).sqrt() * (-gate).exp()


class Tokens(nn.Module):
    """A layer of tokens (N, T, C) on a map whose rows are averaged."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.mean(2).transpose(1, 2)).transpose(1, 2).unsqueeze(2) + x


class AttentionBlock(nn.Module):
    """A block of a transformer: attention of one head and a perceptron, each behind a LayerNorm."""

    def __init__(self, channels=3):
        super().__init__()
        self.norms = nn.ModuleList(normalised(nn.LayerNorm(channels)) for _ in range(2))
        self.heads = nn.ModuleList(nn.Linear(channels, channels) for _ in range(3))
        self.perceptron = nn.Sequential(nn.Linear(channels, 4), nn.GELU(), nn.Linear(4, channels))

    def forward(self, x):
        query, key, value = (head(self.norms[0](x)) for head in self.heads)
        x = x + (query @ key.transpose(-2, -1) * 0.6).softmax(-1) @ value
        return x + self.perceptron(self.norms[1](x))


def normalised(layer):
    """With weights and biases, of values that vary little or much."""
    nn.init.normal_(layer.weight), nn.init.normal_(layer.bias)
    return layer


ACTIVATIONS = {
    "leaky_relu": lambda: nn.LeakyReLU(0.2, inplace=True),
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": lambda: nn.SiLU(inplace=True),
    "permuted": Permuted,
    "layer_norm": lambda: normalised(nn.LayerNorm((3, 5, 6))),
    "channel_norm": lambda: nn.Sequential(Last(), normalised(nn.LayerNorm(3)), Last()),
    "group_norm": lambda: normalised(nn.GroupNorm(3, 3)),
    "instance_norm": lambda: nn.InstanceNorm2d(3),
    "attention": lambda: Tokens(AttentionBlock()),
    "gated": lambda: Gated(),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("kind", ENGINES)
def test_activation(kind, name):
    """Other lines for a larger ball may happen to be the better ones, as with ReLU's slopes."""
    torch.manual_seed(5)
    engine = partial(AlphaCrown, steps=2) if kind == "alpha_crown" else partial(bound_engine, kind)
    network = around(nn.Sequential(nn.Conv2d(4, 3, 1), ACTIVATIONS[name](), nn.Conv2d(3, 2, 3)))
    check(engine, network, list(ACTIVATIONS).index(name) + list(ENGINES).index(kind), monotone=kind == "ibp")


@pytest.mark.parametrize("norm", NORMS)
def test_branch_and_bound(norm):
    torch.manual_seed(7)
    network = around(nn.Sequential(nn.ReLU(), nn.Conv2d(4, 3, 3), nn.LeakyReLU(0.1))).double()
    x = torch.rand(2, 2, 5, 6, dtype=torch.float64)
    engine = BetaCrown(norm, steps=3, case_steps=2, seconds=0.5)
    check_bounds(engine, norm, network, x, 3 * NORMS[norm], agreement=1.0, monotone=False)


@pytest.mark.parametrize("name", ["leaky_relu", "tanh", "gelu", "layer_norm", "group_norm", "attention", "gated"])
@pytest.mark.parametrize("kind", ["ibp", "crown_ibp"])
def test_activations_in_training_have_the_gradient_of_their_bounds(kind, name):
    torch.manual_seed(6)
    x = torch.rand(2, 2, 5, 6, dtype=torch.float64)
    network = around(nn.Sequential(nn.Conv2d(4, 3, 1), ACTIVATIONS[name]())).double()
    check_gradient(bound_engine(kind), network, x, 0.01)


@pytest.mark.parametrize("name", PIECES)
@pytest.mark.parametrize("kind", ["ibp", "crown_ibp"])
def test_engines_for_training_have_the_gradient_of_their_bounds(kind, name):
    torch.manual_seed(3)
    x = torch.rand(2, 2, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    check_gradient(bound_engine(kind), around(PIECES[name]()).double(), x, NORMS["linf"])


def random_genotype(space, draw):
    def cell():
        nodes = tuple(
            tuple(
                sorted(
                    ((draw.choice(DARTS_PRIMITIVES[1:]), source) for source in draw.sample(range(index), 2)),
                    key=lambda pair: pair[1],
                )
            )
            for index in range(2, 2 + space.nodes)
        )
        return CellGenotype(nodes, tuple(range(2, 2 + space.nodes)))

    return Genotype(space.name, {cell_type: cell() for cell_type in space.cell_types})


@pytest.mark.parametrize(
    ("engine", "seed"),
    [
        (kind, seed) if seed < (4 if kind == "crown" else 2) else thorough(kind, seed)
        for kind, seed in product(EVERY_ENGINE, range(20))
    ],
    indirect=["engine"],
)
def test_random_derived_network(engine, seed):
    torch.manual_seed(seed)
    space = DartsSpace(nodes=2)
    genotype = random_genotype(space, random.Random(seed))
    network = randomise(
        space.network(genotype, (2, 4, 5), 3, 1 + seed % 2, 2, drop_path=0.3, mean=(0.4, 0.5), std=(0.3, 0.2))
    )
    norm, dtype = list(NORMS)[seed % 2], list(DTYPES.values())[seed // 2 % 2]
    x = torch.rand(2, 2, 4, 5).to(dtype)
    check_bounds(engine(norm), norm, network.to(dtype), x, NORMS[norm] / 3, agreement(engine))


@pytest.mark.parametrize(
    ("engine", "partial_channels"),
    [
        (kind, partial) if kind in OUR_RELAXATIONS or row in (("alpha_crown", 1), ("auto_lirpa_crown_ibp", 2))
        else thorough(kind, partial)
        for row in product(EVERY_ENGINE, [1, 2])
        for kind, partial in [row]
    ],
    indirect=["engine"],
)  # fmt: skip
def test_relaxed_supernet(engine, partial_channels):
    torch.manual_seed(3)
    space = DartsSpace(nodes=2 if THOROUGH else 1)
    strategy = Darts(1.0) if partial_channels == 1 else PCDarts(init_scale=1.0)
    supernet = randomise(space.supernet((2, 4, 4), 3, 1, 2, partial_channels, mean=(0.4, 0.5), std=(0.3, 0.2)))
    model = RelaxedSupernet(supernet, strategy.initial(space)).double()
    check_bounds(engine("linf"), "linf", model, torch.rand(2, 2, 4, 4, dtype=torch.float64), 1e-3, agreement(engine))


class Watched(nn.Module):
    """A network that notes in which precision its forward runs."""

    def __init__(self, network):
        super().__init__()
        self.network, self.seen = network, set()

    def forward(self, x):
        precisions = (torch.backends.cudnn.conv, torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)
        self.seen.add((torch.is_autocast_enabled("cpu"), *(one.fp32_precision for one in precisions)))
        return self.network(x)


@pytest.fixture
def _products_in_bfloat16():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    assert torch.get_float32_matmul_precision() == "medium"
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("_products_in_bfloat16")
@pytest.mark.parametrize("name", ["ibp", "crown"])
def test_bounds_are_computed_in_full_precision_under_autocast(name):
    torch.manual_seed(0)
    model = Watched(around(nn.Conv2d(4, 4, 3, padding=1)))
    x, y = torch.rand(2, 2, 5, 6), torch.tensor([0, 1])
    expected = [*bound_engine(name)(model, x, 0.03, y), bound_engine(name).summary(model, x, 0.03, y).lower]
    with torch.autocast("cpu", torch.bfloat16):
        found = [*bound_engine(name)(model, x, 0.03, y), bound_engine(name).summary(model, x, 0.03, y).lower]
        assert torch.is_autocast_enabled("cpu")
    assert model.seen == {(False, "ieee", "ieee", "ieee")}
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)
