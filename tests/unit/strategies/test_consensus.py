"""The consensus of several searches, against means by hand."""

import pytest
import torch

from dsrna.errors import ConfigError
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.consensus import consensus
from dsrna.types import CellWeights


def random_weights(space, seed, edges=False):
    draw = torch.Generator().manual_seed(seed)
    return {
        name: CellWeights(
            torch.rand(shape, generator=draw).softmax(dim=1), torch.rand(shape[0], generator=draw) if edges else None
        )
        for name, shape in space.weight_shapes().items()
    }


def test_it_is_the_mean_of_every_weight():
    space = DartsSpace(nodes=2)
    several = [random_weights(space, seed, edges=seed < 2) for seed in range(3)]
    found = consensus(several)
    for name in space.cell_types:
        operations = [weights[name].operations.double() for weights in several]
        assert torch.allclose(found[name].operations, sum(operations) / 3, atol=1e-15)
        edges = several[0][name].edges.double() + several[1][name].edges.double() + 1  # the third has none: 1
        assert torch.allclose(found[name].edges, edges / 3, atol=1e-15)


def test_without_edge_weights_there_are_none():
    assert consensus([random_weights(Nasbench201Space(), seed) for seed in range(2)])["cell"].edges is None


def test_two_searches_outvote_one_that_is_surer():
    space = Nasbench201Space()
    right, wrong = (space.one_hot(space.genotype(f"|{op}~0|+|{op}~0|{op}~1|+|{op}~0|{op}~1|{op}~2|"))["cell"].operations
                    for op in ("nor_conv_3x3", "skip_connect"))  # fmt: skip
    unsure = 0.2 + 0.1 * (right - right.mean(dim=1, keepdim=True))
    mistaken = 0.2 + 0.15 * (wrong - wrong.mean(dim=1, keepdim=True))
    found = consensus([{"cell": CellWeights(one)} for one in (unsure, mistaken, unsure)])
    assert space.derive(found) == space.derive({"cell": CellWeights(right)})


@pytest.mark.parametrize(
    "several",
    [[], [random_weights(DartsSpace(nodes=2), 0), random_weights(DartsSpace(nodes=3), 0)],
     [random_weights(Nasbench201Space(), 0), random_weights(DartsSpace(nodes=2), 0)]],
)  # fmt: skip
def test_what_is_no_set_of_searches_of_one_space_is_refused(several):
    with pytest.raises(ConfigError):
        consensus(several)
