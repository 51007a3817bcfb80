"""The DARTS space: one-hot equality, derivation, inheritance, gradients, derived networks."""

import itertools
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from dsrna.errors import ConfigError, NonFiniteError, UnsupportedError
from dsrna.spaces.darts.published import published
from dsrna.spaces.darts.space import DARTS_PRIMITIVES, DartsSpace
from dsrna.spaces.genotype import CellGenotype, Genotype
from dsrna.spaces.genotype_codec import from_json, to_json
from dsrna.testing.space_conformance import check_space
from dsrna.types import CellWeights
from tests.thorough import THOROUGH, thorough

SPACE = DartsSpace()


def random_weights(space, seed, edge_weights=False, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for cell_type, (edges, operations) in space.weight_shapes().items():
        scores = torch.rand(edges, operations, generator=generator, dtype=dtype)
        scales = torch.rand(edges, generator=generator, dtype=dtype) if edge_weights else None
        weights[cell_type] = CellWeights(scores, scales)
    return weights


@pytest.mark.slow
@pytest.mark.parametrize(
    "space",
    [
        DartsSpace(),
        DartsSpace(nodes=1),
        DartsSpace(nodes=2, primitives=("avg_pool_3x3", "skip_connect", "sep_conv_3x3")),
    ],
)
def test_conformance(space):
    check_space(
        space, lambda genotype: from_json(json.loads(json.dumps(to_json(genotype))), space), {"cells": 3, "channels": 4}
    )


@pytest.mark.slow
@settings(max_examples=12 if THOROUGH else 6, deadline=None)
@given(
    seed=st.integers(0, 2**31), cells=st.integers(1, 4), size=st.sampled_from([8, 9]), images=st.sampled_from([1, 3])
)
def test_one_hot_supernet_equals_the_network_that_inherits(seed, cells, size, images):
    torch.manual_seed(seed)
    genotype = SPACE.derive(random_weights(SPACE, seed))
    supernet = SPACE.supernet(
        (images, size, size), 3, cells=cells, channels=4, mean=(0.4,) * images, std=(0.3,) * images
    )
    network = SPACE.inherit(supernet, genotype)
    one_hot = SPACE.one_hot(genotype)
    x = torch.rand(4, images, size, size)
    assert network.training
    for _ in range(2):
        torch.testing.assert_close(network(x), supernet(x, one_hot))
    torch.testing.assert_close(network.eval()(x), supernet.eval()(x, one_hot))


@pytest.mark.slow
def test_inheritance_copies_weights_mode_type_and_statistics():
    torch.manual_seed(0)
    genotype = published("PC_DARTS")
    supernet = SPACE.supernet((3, 8, 8), 5, cells=2, channels=4).double()
    x = torch.rand(4, 3, 8, 8, dtype=torch.float64)
    one_hot = {name: CellWeights(cell.operations.double()) for name, cell in SPACE.one_hot(genotype).items()}
    supernet(x, one_hot)
    supernet.eval()
    network = SPACE.inherit(supernet, genotype)
    assert not network.training
    before = supernet(x, one_hot)
    torch.testing.assert_close(network(x), before)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    torch.testing.assert_close(supernet(x, one_hot), before)


def test_inheritance_refuses_what_it_cannot_equal():
    genotype = published("DARTS_V2")
    with pytest.raises(UnsupportedError, match="partial_channels"):
        SPACE.inherit(SPACE.supernet((3, 8, 8), 5, cells=1, channels=4, partial_channels=4), genotype)
    with pytest.raises(ConfigError, match="another space"):
        SPACE.inherit(DartsSpace(nodes=2).supernet((3, 8, 8), 5, cells=1, channels=4), genotype)
    normal = CellGenotype(genotype.cells["normal"].nodes, (4, 5))
    partial = Genotype("darts", {**genotype.cells, "normal": normal})
    SPACE.check(partial)
    with pytest.raises(UnsupportedError, match=r"normal, concat: .* got \[4, 5\]"):
        SPACE.one_hot(partial)


@pytest.mark.parametrize("name", ["DARTS_V1", "DARTS_V2", "PC_DARTS", "AdvRush", "RACL", "E2RNAS", "RNAS"])
def test_one_hot_weights_of_published_genotypes(name):
    genotype = published(name)
    one_hot = SPACE.one_hot(genotype)
    assert SPACE.derive(one_hot) == genotype.canonical()
    for cell_type, cell in genotype.cells.items():
        weights = one_hot[cell_type].operations
        assert one_hot[cell_type].edges is None
        chosen = {(source, target): op for target, node in enumerate(cell.nodes, 2) for op, source in node}
        for edge, row in zip(SPACE.edges(cell_type), weights, strict=True):
            expected = DARTS_PRIMITIVES.index(chosen.get(edge, "none"))
            assert torch.equal(row, F.one_hot(torch.tensor(expected), 8).float())


def derive_by_brute_force(space, cell):
    """For each node, the pair of (operation, source) choices with the largest sum of strengths, over all pairs."""
    scales = torch.ones(len(cell.operations)) if cell.edges is None else cell.edges
    nodes = []
    edges = space.edges("normal")
    for target in range(2, 2 + space.nodes):
        choices = [
            (scales[e].item() * cell.operations[e, o].item(), name, source)
            for e, (source, end) in enumerate(edges)
            for o, name in enumerate(space.primitives)
            if end == target and name != "none"
        ]
        pairs = [(a, b) for a, b in itertools.combinations(choices, 2) if a[2] != b[2]]
        best = max(pairs, key=lambda pair: pair[0][0] + pair[1][0])
        nodes.append(tuple((name, source) for _, name, source in sorted(best, key=lambda choice: choice[2])))
    return tuple(nodes)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), nodes=st.integers(1, 4), edge_weights=st.booleans())
def test_derive_equals_brute_force(seed, nodes, edge_weights):
    space = DartsSpace(nodes=nodes)
    weights = random_weights(space, seed, edge_weights, torch.float64)
    genotype = space.derive(weights)
    space.check(genotype)
    for cell_type, cell in weights.items():
        assert genotype.cells[cell_type].nodes == derive_by_brute_force(space, cell)
        assert genotype.cells[cell_type].concat == tuple(range(2, 2 + nodes))


def test_none_never_wins_and_edge_weights_decide():
    operations = torch.full((2, 8), 0.01)
    operations[:, 0] = 0.9
    operations[0, 3] = 0.05
    operations[1, 4] = 0.04
    space = DartsSpace(nodes=1)
    weights = {name: CellWeights(operations) for name in space.cell_types}
    assert space.derive(weights).cells["normal"].nodes == ((("skip_connect", 0), ("sep_conv_3x3", 1)),)
    # three inputs: the weak edge 2 -> 3 is kept once its edge weight outweighs that of 0 -> 3
    space = DartsSpace(nodes=2)
    operations = torch.full((5, 8), 0.01)
    operations[2:, 4] = torch.tensor([0.3, 0.5, 0.1])
    for edges, kept in ((None, (0, 1)), (torch.tensor([1, 1, 0.1, 1, 1]), (1, 2))):
        weights = {name: CellWeights(operations, edges) for name in space.cell_types}
        assert tuple(source for _, source in space.derive(weights).cells["reduce"].nodes[1]) == kept


def test_ties_go_to_the_first_input_and_the_first_primitive():
    weights = {name: CellWeights(torch.full((14, 8), 0.125)) for name in SPACE.cell_types}
    expected = ((("max_pool_3x3", 0), ("max_pool_3x3", 1)),) * 4
    assert all(cell.nodes == expected for cell in SPACE.derive(weights).cells.values())


def test_operation_weights_of_another_space_are_refused():
    supernet = DartsSpace(nodes=2).supernet((3, 8, 8), 5, cells=1, channels=4)
    x = torch.rand(2, 3, 8, 8)
    good = random_weights(DartsSpace(nodes=2), 0)
    supernet(x, good)
    with pytest.raises(ConfigError, match=r"shape \(5, 8\) .* cell type normal, got \(14, 8\)"):
        supernet(x, random_weights(SPACE, 0))
    with pytest.raises(ConfigError, match="cell types normal, reduce, got normal"):
        supernet(x, {"normal": good["normal"]})
    with pytest.raises(ConfigError, match=r"edge weights of shape \(5,\) for cell type reduce, got \(4,\)"):
        supernet(x, {**good, "reduce": CellWeights(good["reduce"].operations, torch.ones(4))})
    with pytest.raises(ConfigError, match=r"shape \(14, 8\)"):
        SPACE.derive(good)
    poisoned = CellWeights(good["reduce"].operations.clone().fill_(float("nan")))
    with pytest.raises(NonFiniteError, match="finite"):
        DartsSpace(nodes=2).derive({**good, "reduce": poisoned})


@pytest.mark.slow
@pytest.mark.parametrize("partial", [thorough(1), 2])
def test_first_and_second_derivatives_of_the_supernet(partial):
    """Against finite differences in float64, with respect to image, operation weights and edge weights."""
    torch.manual_seed(1)
    space = DartsSpace(nodes=1)
    supernet = space.supernet((1, 4, 4), 2, cells=3, channels=2 * partial, partial_channels=partial).double()
    initial = random_weights(space, 1, True, torch.float64)
    for module in supernet.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # running statistics equal the batch's at once, so that ReLUs are alive in evaluation
    supernet(torch.rand(8, 1, 4, 4, dtype=torch.float64), initial)
    supernet.eval()
    x = torch.rand(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    leaves = [tensor.requires_grad_() for cell in initial.values() for tensor in cell]

    def logits(x, normal, normal_edges, reduce, reduce_edges):
        return supernet(x, {"normal": CellWeights(normal, normal_edges), "reduce": CellWeights(reduce, reduce_edges)})

    gradients = torch.autograd.grad(logits(x, *leaves)[0, 0], (x, *leaves))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    assert torch.autograd.gradcheck(logits, (x, *leaves))
    assert torch.autograd.gradgradcheck(logits, (x, *leaves), fast_mode=not THOROUGH)


def small_network(**sizes):
    torch.manual_seed(0)
    return SPACE.network(published("RACL"), (3, 32, 32), 10, cells=3, channels=4, **sizes)


def test_logits_come_alone_and_the_auxiliary_ones_only_on_request():
    x = torch.rand(2, 3, 32, 32)
    network = small_network(auxiliary=True)
    with torch.no_grad():
        network(x)
        network.eval()
        logits, auxiliary = network.forward_with_auxiliary(x)
        assert torch.equal(network(x), logits)
        first, second = small_network().eval().forward_with_auxiliary(x)
    assert second is None
    assert first.shape == logits.shape == auxiliary.shape == (2, 10)
    # the head reads the last reduction cell, here the last cell, of 8 x 8 maps: published pooling, then 2 x 2
    features = []
    network.cells[2].register_forward_hook(lambda module, args, output: features.append(output))
    head = network.auxiliary_head
    with torch.no_grad():
        network(x)
        pooled = F.avg_pool2d(features[0].relu(), 5, 3)
        hidden = head.features[6](head.features[5](head.features[3](head.features[2](pooled)).relu())).relu()
        torch.testing.assert_close(head.classifier(hidden.flatten(1)), auxiliary)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (32, lambda maps: F.avg_pool2d(maps, 5, 3)),
        (28, lambda maps: F.avg_pool2d(maps, 5, 2)),
        (16, lambda maps: F.avg_pool2d(maps, 2)),
        (20, lambda maps: F.adaptive_avg_pool2d(maps, 2)),
    ],
)
def test_the_auxiliary_head_pools_maps_of_any_size_to_two_by_two(size, expected):
    network = SPACE.network(published("RACL"), (1, size, size), 10, cells=3, channels=4, auxiliary=True)
    maps = torch.rand(1, 64, size // 4, size // 4)
    pooled = network.auxiliary_head.features[1](maps)
    assert pooled.shape[-2:] == (2, 2)
    torch.testing.assert_close(pooled, expected(maps))
    logits, auxiliary = network.forward_with_auxiliary(torch.rand(2, 1, size, size))
    assert logits.isfinite().all()
    assert auxiliary.isfinite().all()


def test_drop_path_acts_in_training_alone_and_is_settable():
    network = small_network()
    x = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(x), network(x))
        network.set_drop_path(0.5)
        assert not torch.equal(network(x), network(x))
        network.eval()
        assert torch.equal(network(x), network(x))
        network.train().set_drop_path(0.0)
        assert torch.equal(network(x), network(x))


@pytest.mark.parametrize("build", ["supernet", "network"])
def test_normalisation_is_the_first_layer(build):
    """Shifting and scaling the images by mean and std equals a network with mean 0 and std 1."""
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.25])

    def logits(x, **numbers):
        torch.manual_seed(0)
        if build == "network":
            network = SPACE.network(published("RNAS"), (3, 8, 8), 4, cells=1, channels=4, **numbers)
            return network(x)
        return SPACE.supernet((3, 8, 8), 4, cells=1, channels=4, **numbers)(x, random_weights(SPACE, 0))

    x = torch.rand(4, 3, 8, 8)
    shifted = (x - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    torch.testing.assert_close(logits(x, mean=mean.tolist(), std=std.tolist()), logits(shifted))


def test_the_imagenet_stem_divides_maps_by_eight_and_gradients_reach_every_parameter():
    torch.manual_seed(0)
    network = SPACE.network(published("DARTS_V1"), (3, 64, 64), 5, cells=3, channels=4, stem="imagenet", auxiliary=True)
    sizes = []
    for module in (network.stem, *network.cells):
        module.register_forward_hook(lambda module, args, output: sizes.append(output))
    logits, auxiliary = network.forward_with_auxiliary(torch.rand(2, 3, 64, 64))
    assert [output.shape[-1] for output in (*sizes[0], *sizes[1:])] == [16, 8, 8, 4, 2]
    (logits.square().sum() + auxiliary.square().sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())
