"""GAEA against a loop that moves probabilities as the paper says, by their own gradients."""

import numpy as np
import pytest
import torch

from dsrna.errors import ConfigError
from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.exponentiated_gradient import ExponentiatedGradient
from dsrna.strategies.gaea import Gaea

SPACE = DartsSpace(nodes=2)
NODES = {2: [0, 1], 3: [2, 3, 4]}  # the edges that enter them


def architecture(**arguments):
    return Gaea(**arguments).initial(SPACE, torch.Generator().manual_seed(0)).double()


def targets():
    draw = np.random.default_rng(3)
    return {"normal": draw.normal(size=(5, 8)), "reduce": draw.normal(size=(5, 8))}


def loss(p, q, targets):
    """Any smooth function of the operation weights p and the edge weights q of both cells."""
    return sum((p[name] * targets[name] + p[name] ** 2).sum(1) @ q[name] ** 2 for name in targets)


def test_steps_are_those_of_the_paper():
    """p <- p exp(-eta dL/dp) / Z, for operations on each edge, for edges on each node; none below 1e-5."""
    values, rate = targets(), 3.0
    made = architecture(init_scale=0.3, edge_normalization=True)
    optimizer = ExponentiatedGradient(made.parameters(), lr=rate)
    first = made()
    p = {name: first[name].operations.detach().numpy().copy() for name in values}
    q = {name: first[name].edges.detach().numpy().copy() for name in values}
    smallest = 1.0
    for _ in range(6):
        weights = made()
        at = {name: torch.from_numpy(value) for name, value in values.items()}
        optimizer.zero_grad()
        loss(
            {name: cell.operations for name, cell in weights.items()},
            {name: cell.edges for name, cell in weights.items()}, at,
        ).backward()  # fmt: skip
        optimizer.step()
        for name, value in values.items():
            by_p = (value + 2 * p[name]) * q[name][:, None] ** 2
            by_q = 2 * q[name] * (p[name] * value + p[name] ** 2).sum(1)
            p[name] = p[name] * np.exp(-rate * by_p)
            p[name] = np.maximum(p[name] / p[name].sum(1, keepdims=True), 1e-5)
            p[name] /= p[name].sum(1, keepdims=True)
            q[name] = q[name] * np.exp(-rate * by_q)
            for edges in NODES.values():
                q[name][edges] /= q[name][edges].sum()
                q[name][edges] = np.maximum(q[name][edges], 1e-5) / np.maximum(q[name][edges], 1e-5).sum()
            smallest = min(smallest, p[name].min())
    assert 0.9e-5 < smallest < 1.1e-5, "the floor is reached, or this tests too little"
    for name, cell in made().items():
        np.testing.assert_allclose(cell.operations.detach().numpy(), p[name], rtol=1e-9)
        np.testing.assert_allclose(cell.edges.detach().numpy(), q[name], rtol=1e-9)
        assert cell.edges.max() > 0.6


def test_it_starts_uniform_and_single_precision_moves_alike():
    made = architecture(init_scale=0.0, edge_normalization=True)
    for cell in made().values():
        torch.testing.assert_close(cell.operations, torch.full((5, 8), 1 / 8).double())
        torch.testing.assert_close(cell.edges, torch.tensor([1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3]).double())
    both = made, architecture(init_scale=0.0, edge_normalization=True).float()
    for each in both:
        optimizer = ExponentiatedGradient(each.parameters(), lr=5.0)
        for _ in range(30):
            optimizer.zero_grad()
            values = torch.arange(8.0).to(each.alphas["normal"]).sin()
            sum((cell.edges @ (cell.operations @ values)) for cell in each().values()).backward()
            optimizer.step()
    exact, single = (each()["normal"].operations.detach() for each in both)
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=1e-9)
    assert exact.max() > 0.99


def test_a_dropped_operation_stays_away_and_the_others_share_its_weight():
    made = architecture(init_scale=0.5)
    kept = torch.ones(5, 8, dtype=torch.bool)
    kept[0, 3] = False
    before = made()["normal"].operations.detach()
    made.keep({"normal": kept})
    optimizer = ExponentiatedGradient(made.parameters(), lr=1.0)
    values = torch.rand(5, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (made()["normal"].operations * values).sum().backward()
    optimizer.step()
    after = made()["normal"].operations.detach()
    expected = before * kept * (-values).exp()
    torch.testing.assert_close(after, expected / expected.sum(1, keepdim=True))
    assert after[0, 3] == 0


@pytest.mark.parametrize("arguments", [{"lr": -1.0}, {"lr": float("nan")}, {"smallest": -1e-9}, {"smallest": 0.1}])
def test_ranges(arguments):
    with pytest.raises(ConfigError, match="Expected"):
        ExponentiatedGradient(architecture().parameters(), **arguments)
