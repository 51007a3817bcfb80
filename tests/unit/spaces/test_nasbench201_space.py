"""The NAS-Bench-201 space: one-hot equality, derivation, inheritance, networks."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from dsrna.errors import ConfigError, GenotypeError, NonFiniteError, UnsupportedError
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.genotype import CellGenotype, Genotype
from dsrna.spaces.genotype_codec import from_json, save, to_json
from dsrna.spaces.nasbench201.architecture_string import architecture_string
from dsrna.spaces.nasbench201.index import COUNT
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.spaces.nasbench201.topology import PRIMITIVES
from dsrna.spaces.notation.reading import load, parse
from dsrna.spaces.registry import space_of
from dsrna.strategies.darts import Darts
from dsrna.strategies.pcdarts import PCDarts
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.testing.space_conformance import check_space
from dsrna.types import CellWeights

SPACE = Nasbench201Space()
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
STRING = "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
GENOTYPE = SPACE.genotype(STRING)


def operation_names(text):
    return [part.split("~")[0] for part in text.replace("+", "").split("|") if part]


@pytest.mark.slow
def test_conformance():
    check_space(
        SPACE, lambda genotype: from_json(json.loads(json.dumps(to_json(genotype))), SPACE), {"cells": 1, "channels": 4}
    )


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(index=st.integers(0, COUNT - 1), seed=st.integers(0, 2**31), size=st.sampled_from([4, 7, 8]))
def test_one_hot_supernet_equals_the_network_that_inherits(index, seed, size):
    torch.manual_seed(seed)
    genotype = SPACE.genotype(index)
    supernet = SPACE.supernet((1, size, size), 3, cells=1, channels=4, mean=(0.4,), std=(0.3,))
    network = SPACE.inherit(supernet, genotype)
    x = torch.rand(4, 1, size, size)
    torch.testing.assert_close(network(x), supernet(x, SPACE.one_hot(genotype)))
    torch.testing.assert_close(network.eval()(x), supernet.eval()(x, SPACE.one_hot(genotype)))


def test_a_cell_adds_what_enters_each_node():
    """Against the cell's definition, written out edge by edge."""
    torch.manual_seed(0)
    cell = SPACE.network(GENOTYPE, (3, 8, 8), 4, cells=1, channels=4).double().blocks[0]
    convolutions = [p for p in cell.parameters() if p.dim() == 4]

    def block(x, weight):
        y = F.conv2d(x.relu(), weight, padding=weight.shape[-1] // 2)
        return F.batch_norm(y, None, None, training=True)

    x = torch.randn(5, 4, 6, 6, dtype=torch.float64)
    first = block(x, convolutions[0])
    second = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) + block(first, convolutions[1])
    torch.testing.assert_close(cell(x), x + block(second, convolutions[2]))


def test_a_supernet_cell_is_the_weighted_sum_over_edges_and_operations():
    torch.manual_seed(0)
    supernet = SPACE.supernet((3, 8, 8), 4, cells=1, channels=4).double()
    cell = supernet.blocks[0].eval()
    w, b = torch.rand(6, 5).double(), torch.rand(6).double()
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    nodes = [x]
    for target in (1, 2, 3):
        terms = []
        for edge, (source, end) in enumerate(EDGES):
            if end == target:
                operations = cell.edges[edge].operations
                terms += [b[edge] * w[edge, o] * operation(nodes[source]) for o, operation in enumerate(operations)]
        nodes.append(sum(terms))
    torch.testing.assert_close(cell(x, weights=CellWeights(w, b)), nodes[3])
    torch.testing.assert_close(cell(x, weights=CellWeights(w, torch.ones(6).double())), cell(x, weights=CellWeights(w)))


def test_a_network_is_stem_stages_reductions_and_head():
    torch.manual_seed(0)
    network = SPACE.network(GENOTYPE, (3, 12, 12), 7, cells=2, channels=4).eval()
    shapes = []
    for block in network.blocks:
        block.register_forward_hook(lambda module, args, output: shapes.append(tuple(output.shape[1:])))
    x = torch.rand(2, 3, 12, 12)
    logits = network(x)
    assert shapes == [(4, 12, 12)] * 2 + [(8, 6, 6)] * 3 + [(16, 3, 3)] * 3
    features = network.stem(x)
    for block in network.blocks:
        features = block(features)
    norm, linear = network.head[0], network.head[-1]
    torch.testing.assert_close(logits, linear(norm(features).relu().flatten(2).mean(dim=2)))
    assert network.forward_with_auxiliary(x)[1] is None


@pytest.mark.parametrize("build", ["supernet", "network"])
def test_normalisation_is_the_first_layer(build):
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.25])

    def logits(x, **numbers):
        torch.manual_seed(0)
        if build == "network":
            return SPACE.network(GENOTYPE, (3, 8, 8), 4, cells=1, channels=4, **numbers)(x)
        return SPACE.supernet((3, 8, 8), 4, cells=1, channels=4, **numbers)(x, SPACE.one_hot(GENOTYPE))

    x = torch.rand(4, 3, 8, 8)
    shifted = (x - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    torch.testing.assert_close(logits(x, mean=mean.tolist(), std=std.tolist()), logits(shifted))


@pytest.mark.parametrize("strategy", [Darts(), PCDarts(partial_channels=2)])
def test_strategies_search_it(strategy):
    """Logits move with every alpha (and beta), and what is derived is a genotype of the space."""
    torch.manual_seed(0)
    architecture = strategy.initial(SPACE)
    supernet = SPACE.supernet((3, 8, 8), 4, cells=1, channels=4, partial_channels=strategy.partial_channels)
    loss = RelaxedSupernet(supernet, architecture)(torch.rand(4, 3, 8, 8)).square().sum()
    gradients = torch.autograd.grad(loss, list(architecture.parameters()))
    assert all(gradient.isfinite().all() and gradient.abs().sum() > 0 for gradient in gradients)
    SPACE.check(SPACE.derive(architecture()))


def test_derive_takes_the_largest_weight_of_every_edge_also_none():
    weights = torch.full((6, 5), 0.1)
    for edge, operation in enumerate((0, 4, 2, 3, 1, 0)):
        weights[edge, operation] = 0.5
    expected = "|none~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|nor_conv_3x3~0|skip_connect~1|none~2|"
    assert architecture_string(SPACE.derive({"cell": CellWeights(weights)})) == expected
    assert architecture_string(SPACE.derive({"cell": CellWeights(weights, torch.rand(6))})) == expected
    ties = SPACE.derive({"cell": CellWeights(torch.full((6, 5), 0.2))})
    assert architecture_string(ties) == "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"


@pytest.mark.parametrize("seed", range(8))
def test_derive_is_the_likeliest_architecture_that_sees_its_input(seed):
    torch.manual_seed(seed)
    logits = torch.randn(6, 5, dtype=torch.float64)
    logits[:, 0] += seed % 4  # from hardly any to nearly all edges without operation
    weights = logits.softmax(dim=1)
    every = torch.cartesian_prod(*[torch.arange(5)] * 6)
    likelihood = weights.log()[torch.arange(6), every].sum(dim=1)
    ways = [[3], [0, 4], [1, 5], [0, 2, 5]]  # edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3
    sees = torch.stack([(every[:, way] != 0).all(dim=1) for way in ways]).any(dim=0)
    expected = [PRIMITIVES[o] for o in every[likelihood.where(sees, -torch.inf).argmax()]]
    found = SPACE.derive({"cell": CellWeights(weights)})
    assert list(operation_names(architecture_string(found))) == expected


def test_one_hot_weights_of_a_cell_without_operations_come_back():
    nothing = SPACE.genotype(1651)
    assert SPACE.derive(SPACE.one_hot(nothing)) == nothing


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_derive_refuses_what_is_not_finite(bad):
    weights = torch.rand(6, 5)
    with pytest.raises(NonFiniteError, match="finite"):
        SPACE.derive({"cell": CellWeights(weights, torch.full((6,), bad))})
    weights[3, 3] = bad
    with pytest.raises(NonFiniteError, match="finite"):
        SPACE.derive({"cell": CellWeights(weights)})


@pytest.mark.parametrize("space", [SPACE, DartsSpace()], ids=lambda space: space.name)
def test_derive_refuses_weights_that_are_not_relaxed(space):
    good = {name: CellWeights(torch.rand(shape), torch.rand(shape[0])) for name, shape in space.weight_shapes().items()}
    space.derive(good)
    for name, (operations, edges) in good.items():
        for bad in (CellWeights(operations - 3, edges), CellWeights(operations, -edges)):
            with pytest.raises(ConfigError, match=f">= 0, got -.* for cell type {name}"):
                space.derive({**good, name: bad})


def test_drop_path_spares_skip_connections_and_zeros():
    text = "|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
    x = torch.rand(4, 3, 8, 8)
    for architecture, differs in ((text, False), (STRING, True)):
        torch.manual_seed(0)
        network = SPACE.network(SPACE.genotype(architecture), (3, 8, 8), 4, cells=1, channels=4, drop_path=0.5)
        # the reductions' BatchNorm uses batch statistics, so that equal inputs give equal outputs
        with torch.no_grad():
            assert torch.equal(network(x), network(x)) is not differs
            network.eval()
            assert torch.equal(network(x), network(x))


def test_inheritance_refuses_what_it_cannot_equal():
    with pytest.raises(UnsupportedError, match="partial_channels"):
        SPACE.inherit(SPACE.supernet((3, 8, 8), 5, cells=1, channels=4, partial_channels=4), GENOTYPE)
    with pytest.raises(ConfigError, match="another space"):
        SPACE.inherit(DartsSpace().supernet((3, 8, 8), 5, cells=1, channels=4), GENOTYPE)


def test_codec(tmp_path):
    assert parse(STRING) == parse(f"\n {STRING}\n") == parse(json.dumps(to_json(GENOTYPE))) == GENOTYPE
    assert GENOTYPE.cells["cell"] == CellGenotype(
        (
            (("nor_conv_3x3", 0),),
            (("avg_pool_3x3", 0), ("nor_conv_1x1", 1)),
            (("skip_connect", 0), ("none", 1), ("nor_conv_3x3", 2)),
        ),
        (3,),
    )
    assert space_of(GENOTYPE) == SPACE
    save(GENOTYPE, tmp_path / "genotype.json")
    (tmp_path / "string.txt").write_text(STRING + "\n")
    assert load(tmp_path / "genotype.json") == load(tmp_path / "string.txt") == GENOTYPE
    shuffled = CellGenotype(tuple(tuple(reversed(node)) for node in GENOTYPE.cells["cell"].nodes), (3,))
    assert architecture_string(Genotype("nasbench201", {"cell": shuffled})) == STRING


REFUSED_TEXTS = [
    (
        STRING.replace("|nor_conv_1x1~1|", "|nor_conv_1x2~1|"),
        r"node 2, operation 2: .*'nor_conv_1x2'.*nearest: nor_conv",
    ),
    (STRING.replace("~2", "~1"), r"node 3, operation 3: expected nor_conv_3x3~2, got 'nor_conv_3x3~1'"),
    (STRING.replace("|none~1", ""), r"node 3: expected 3 operations between bars"),
    (STRING[:40], r"node 2: |with 2 groups"),
    (STRING + "+|none~0|", r"with 4 groups"),
    (STRING.replace("none~1", "none"), r"node 3, operation 2: expected none~1, got 'none'"),
    ("|" * 90_000, r"Expected a genotype"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED_TEXTS, ids=range(len(REFUSED_TEXTS)))
def test_refused_texts(text, message):
    with pytest.raises(GenotypeError, match=message) as caught:
        parse(text)
    assert len(str(caught.value)) < 400


NODES = GENOTYPE.cells["cell"].nodes
REFUSED_GENOTYPES = [
    (Genotype("darts", GENOTYPE.cells), r"space: expected .*'nasbench201', got one of 'darts'"),
    (Genotype("nasbench201", {}), r"cell: this cell is missing; expected cell, got no cell"),
    (Genotype("nasbench201", {"normal": GENOTYPE.cells["cell"]}), r"expected cell, got normal"),
    (Genotype("nasbench201", {"cell": CellGenotype(NODES[:2], (2,))}), r"cell: expected 3 nodes, got 2"),
    (Genotype("nasbench201", {"cell": CellGenotype(NODES, (2, 3))}), r"concat: .*\[3\], got \[2, 3\]"),
    (
        Genotype("nasbench201", {"cell": CellGenotype((*NODES[:2], NODES[1]), (3,))}),
        r"cell, node 3: .* inputs \[0, 1, 2\], got inputs \[0, 1\]",
    ),
    (
        Genotype("nasbench201", {"cell": CellGenotype(((("sep_conv_3x3", 0),), *NODES[1:]), (3,))}),
        r"cell, node 1, operation 1: unknown operation 'sep_conv_3x3'",
    ),
]


@pytest.mark.parametrize(("genotype", "message"), REFUSED_GENOTYPES, ids=range(len(REFUSED_GENOTYPES)))
def test_refused_genotypes(genotype, message):
    with pytest.raises(GenotypeError, match=message):
        SPACE.check(genotype)


REFUSED_SIZES = [
    (lambda: SPACE.edges("normal"), r"unknown cell type 'normal'; choose from cell"),
    (lambda: SPACE.supernet((3, 8, 8), 1), r"`classes` >= 2, got 1"),
    (lambda: SPACE.supernet((3, 8, 8), 10, cells=0), r"`cells` >= 1, got 0"),
    (lambda: SPACE.supernet((3, 8, 8), 10, channels=0), r"`channels` >= 1, got 0"),
    (lambda: SPACE.supernet((3, 8, 8), 10, channels=6, partial_channels=4), r"`partial_channels`.* 4 for 6 channels"),
    (lambda: SPACE.supernet((3, 3, 8), 10), r"at least 4 x 4 pixels.*got 3 x 8"),
    (lambda: SPACE.supernet((8, 8), 10), r"image `shape`"),
    (lambda: SPACE.supernet((1, 8, 8), 10, mean=(0.5, 0.5)), r"`mean` with one number for each .* 1 channels"),
    (lambda: SPACE.network(GENOTYPE, (3, 8, 8), 10, auxiliary=True), r"no auxiliary head"),
    (lambda: SPACE.network(GENOTYPE, (3, 8, 8), 10, stem="imagenet"), r"`stem` = 'cifar', got 'imagenet'"),
    (lambda: SPACE.network(GENOTYPE, (3, 8, 8), 10, cells=1, drop_path=1.0), r"`drop_path` in \[0, 1\)"),
    (
        lambda: SPACE.supernet((3, 8, 8), 10, cells=1)(
            torch.rand(1, 3, 8, 8), {"cell": CellWeights(torch.rand(5, 5))}
        ),
        r"shape \(6, 5\)",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("build", "message"), REFUSED_SIZES, ids=range(len(REFUSED_SIZES)))
def test_refused_sizes(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
