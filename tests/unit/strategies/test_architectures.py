"""DARTS's and PC-DARTS's relaxations, and the supernet they make a network of."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsrna.errors import ConfigError
from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.alphas import normalize_edges
from dsrna.strategies.darts import Darts
from dsrna.strategies.entropy import operation_entropy
from dsrna.strategies.pcdarts import PCDarts
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.testing.tiny_networks import tiny_images

SPACE = DartsSpace(nodes=2, primitives=("none", "skip_connect", "sep_conv_3x3"))


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("strategy", [Darts(init_scale=2.0), PCDarts(init_scale=2.0)])
def test_operation_weights_are_the_softmax_of_alphas(strategy):
    architecture = strategy.initial(SPACE, draw())
    weights = architecture()
    assert list(weights) == ["normal", "reduce"]
    for cell_type, cell in weights.items():
        rows = architecture.alphas[cell_type].tolist()
        assert len(rows) == 5
        expected = [[math.exp(a) / sum(math.exp(b) for b in row) for a in row] for row in rows]
        torch.testing.assert_close(cell.operations, torch.tensor(expected))


def test_parameters_have_stable_names():
    assert [name for name, _ in Darts().initial(SPACE).named_parameters()] == ["alphas.normal", "alphas.reduce"]
    named = PCDarts().initial(SPACE).named_parameters()
    assert [name for name, _ in named] == ["alphas.normal", "alphas.reduce", "betas.normal", "betas.reduce"]


def test_edge_weights_are_a_softmax_over_the_edges_of_a_node():
    architecture = PCDarts(init_scale=2.0).initial(SPACE, draw())
    assert Darts().initial(SPACE)()["normal"].edges is None
    for cell_type, cell in architecture().items():
        exponentials = [math.exp(beta) for beta in architecture.betas[cell_type].tolist()]
        first, second = sum(exponentials[:2]), sum(exponentials[2:])
        expected = [value / (first if edge < 2 else second) for edge, value in enumerate(exponentials)]
        torch.testing.assert_close(cell.edges, torch.tensor(expected))


@pytest.mark.slow
@given(
    betas=st.lists(st.floats(-300, 300), min_size=1, max_size=12),
    seed=st.integers(0, 1000),
)
def test_edge_weights_of_each_node_sum_to_one_in_any_order(betas, seed):
    targets = torch.randint(2, 5, (len(betas),), generator=draw(seed)).tolist()
    values = torch.tensor(betas, dtype=torch.float64, requires_grad=True)
    weights = normalize_edges(values, targets)
    for node in set(targets):
        entering = [edge for edge, target in enumerate(targets) if target == node]
        torch.testing.assert_close(weights[entering], values[entering].softmax(0))
    (gradient,) = torch.autograd.grad(weights.square().sum(), values)
    assert gradient.isfinite().all()


def test_initial_alphas_come_from_the_generator_and_have_the_scale():
    before = torch.random.get_rng_state()
    first, again, other = (PCDarts(init_scale=0.5).initial(DartsSpace(), draw(seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    values = torch.cat([parameter.flatten() for parameter in first.parameters()])
    assert torch.equal(values, torch.cat([parameter.flatten() for parameter in again.parameters()]))
    assert not torch.equal(first.alphas["normal"], other.alphas["normal"])
    assert values.std().item() == pytest.approx(0.5, rel=0.2)


def test_strategies_say_which_channels_go_through_the_operations():
    assert Darts().partial_channels == 1
    assert PCDarts().partial_channels == 4
    assert PCDarts(partial_channels=2).partial_channels == 2


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Darts(init_scale=-1), "`init_scale` >= 0, got -1"),
        (lambda: PCDarts(init_scale=float("nan")), "`init_scale` >= 0, got nan"),
        (lambda: PCDarts(partial_channels=0), "`partial_channels` >= 1, got 0"),
    ],
)
def test_bad_settings_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_entropy_runs_from_one_hot_to_uniform():
    assert operation_entropy(torch.eye(4)).item() == 0
    assert operation_entropy(torch.full((3, 8), 1 / 8)).item() == pytest.approx(math.log(8))
    mixed = torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    assert operation_entropy(mixed).item() == pytest.approx((0.5 * math.log(2) + 0.5 * math.log(4)) / 2)


def test_entropy_has_a_finite_gradient_at_a_vanished_operation():
    alphas = torch.tensor([[0.0, -2000.0, 1.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(operation_entropy(alphas.softmax(dim=1)), alphas)
    assert gradient.isfinite().all()
    assert gradient[0, 0] > 0 > gradient[0, 2]


def test_an_architectures_entropy_is_the_mean_over_cell_types():
    architecture = Darts().initial(SPACE)
    with torch.no_grad():
        architecture.alphas["normal"].zero_()
        architecture.alphas["reduce"].copy_(torch.tensor([500.0, 0.0, 0.0]).expand(5, 3))
    assert architecture.entropy().item() == pytest.approx(math.log(3) / 2)


@pytest.mark.parametrize("strategy", [Darts(init_scale=1.0), PCDarts(partial_channels=2, init_scale=1.0)])
def test_relaxed_supernet_hands_the_operation_weights_on(strategy):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        supernet = SPACE.supernet(
            (2, 6, 6), classes=3, cells=3, channels=4, partial_channels=strategy.partial_channels
        ).double()
    architecture = strategy.initial(SPACE, draw()).double()
    model, x = RelaxedSupernet(supernet, architecture), tiny_images()
    assert torch.equal(model(x), supernet(x, architecture()))
    gradients = torch.autograd.grad(model(x)[:, 0].sum(), list(architecture.parameters()))
    assert all(bool((gradient != 0).any()) for gradient in gradients)


@pytest.mark.parametrize("strategy", [Darts(), PCDarts()])
def test_derivation_follows_the_operation_weights(strategy):
    architecture = strategy.initial(SPACE)
    with torch.no_grad():
        for alphas in architecture.alphas.values():
            alphas.zero_()
            alphas[:, 2] = 1.0  # sep_conv_3x3 on every edge,
            alphas[0, 1] = 2.0  # but skip_connect between nodes 0 and 2
    nodes = SPACE.derive(architecture()).cells["normal"].nodes
    assert set(nodes[0]) == {("skip_connect", 0), ("sep_conv_3x3", 1)}
    if isinstance(strategy, PCDarts):
        with torch.no_grad():
            architecture.betas["normal"].copy_(torch.tensor([0.0, 0.0, 0.0, 5.0, 5.0]))
        assert {source for _, source in SPACE.derive(architecture()).cells["normal"].nodes[1]} == {1, 2}
