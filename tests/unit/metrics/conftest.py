"""What tests of several metrics share."""

import copy

import pytest
import torch

from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.pcdarts import PCDarts
from dsrna.strategies.relaxed_supernet import RelaxedSupernet


@pytest.fixture(scope="session")
def _with_statistics():
    primitives = ("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3")
    space, strategy = DartsSpace(nodes=2, primitives=primitives), PCDarts(partial_channels=2, init_scale=0.5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        supernet = space.supernet((2, 6, 6), classes=3, cells=3, channels=4, partial_channels=2)
        model = RelaxedSupernet(supernet, strategy.initial(space, torch.Generator().manual_seed(0))).double()
        for _ in range(20):
            model(torch.rand(16, 2, 6, 6, dtype=torch.float64))
    return model


@pytest.fixture
def pcdarts_supernet(_with_statistics):
    """A small relaxed supernet of PC-DARTS in float64, for images (2, 6, 6), with running statistics; a copy."""
    return copy.deepcopy(_with_statistics)
