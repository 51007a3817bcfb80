"""Small supernets of both spaces, with regularisers."""

import pytest
import torch
import torch.nn.functional as F

from dsrna.nn.edges.implementation import use_implementation
from dsrna.nn.modes import batchnorm_statistics_frozen
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.darts import Darts
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.strategies.search_step import SearchStep

SPACES = {"darts": DartsSpace(nodes=2), "nasbench201": Nasbench201Space()}
SIZES = {"darts": {"cells": 3, "channels": 4}, "nasbench201": {"cells": 1, "channels": 4}}
SHAPE, CLASSES = (2, 8, 8), 3


@pytest.fixture
def images():
    """Images and labels."""
    draw = torch.Generator().manual_seed(7)
    return torch.rand(4, *SHAPE, generator=draw, dtype=torch.double), torch.arange(4) % CLASSES


@pytest.fixture
def relaxed():
    """Builds (space, model in double precision) of a space's name, an implementation and regularisers."""

    def build(name, regularisers=(), implementation="reference", strategy=None):
        space, strategy = SPACES[name], strategy or Darts(init_scale=0.5)
        torch.manual_seed(0)
        supernet = space.supernet(SHAPE, CLASSES, partial_channels=strategy.partial_channels, **SIZES[name]).double()
        architecture = strategy.initial(space, torch.Generator().manual_seed(1)).double()
        for regulariser in regularisers:
            regulariser.check(space, architecture)
            regulariser.prepare(space, supernet, architecture)
        use_implementation(supernet, implementation)
        return space, RelaxedSupernet(supernet, architecture, regularisers)

    return build


@pytest.fixture
def step_of():
    """Builds a step of a model."""

    def build(model, kind, progress, images=None, seed=0):
        def loss(weights):
            with batchnorm_statistics_frozen(model):
                return F.cross_entropy(model.supernet(images[0], weights), images[1])

        return SearchStep(kind, progress, torch.Generator().manual_seed(seed), loss)

    return build
