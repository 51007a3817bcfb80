"""Networks of both spaces, supernets too, go through the engines: bounds hold the logits, and are them at eps 0."""

import pytest
import torch

from dsrna.bounds.engines import bound_engine
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.darts import Darts
from dsrna.strategies.relaxed_supernet import RelaxedSupernet

SPACES = {"darts": DartsSpace(nodes=2), "nasbench201": Nasbench201Space()}


def network_of(space, supernet):
    torch.manual_seed(0)
    sizes = {"cells": 3 if space.name == "darts" else 1, "channels": 4}
    architecture = Darts(init_scale=1.0).initial(space, torch.Generator().manual_seed(1))
    if supernet:
        return RelaxedSupernet(space.supernet((1, 8, 8), 3, **sizes), architecture).eval()
    return space.network(space.derive(architecture.expected()), (1, 8, 8), 3, **sizes).eval()


@pytest.mark.parametrize("supernet", [False, True])
@pytest.mark.parametrize("space", SPACES)
def test_bounds_of_a_network_of_the_space(space, supernet):
    network = network_of(SPACES[space], supernet)
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    engine = bound_engine("ibp", norm="linf")
    with torch.no_grad():
        lower, upper = engine(network, x, eps=0.0)
        logits, (low, high) = network(x), engine(network, x, eps=0.01)
        other = network((x + 0.01 * torch.rand_like(x).sub(0.5).sign()).clamp(0, 1))
    assert torch.allclose(lower, logits, atol=1e-5)
    assert torch.allclose(upper, logits, atol=1e-5)
    assert bool(((low <= other) & (other <= high)).all())
