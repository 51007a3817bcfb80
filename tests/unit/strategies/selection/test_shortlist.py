"""The shortlist finds the one path that was trained, leaves the supernet as it is, and does the same again."""

import copy

import pytest
import torch

from dsrna.errors import ConfigError
from dsrna.objectives.standard import Standard
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.selection.argmax import Argmax
from dsrna.strategies.selection.base import TrainedSearch
from dsrna.strategies.selection.paths import Paths
from dsrna.strategies.selection.sampling import distinct_cells, equal_weights
from dsrna.strategies.selection.shortlist import Shortlist
from dsrna.strategies.selection.training import fine_tune
from dsrna.types import CellWeights
from tests.known_best_path import striped_images, supernet_of_one_path
from tests.thorough import thorough

SPACES = {
    "darts": DartsSpace(nodes=2, primitives=("none", "skip_connect", "max_pool_3x3", "sep_conv_3x3")),
    "nasbench201": Nasbench201Space(),
}


def draw(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", [thorough("darts"), "nasbench201"])
def test_it_finds_the_path_that_was_trained_where_argmax_does_not(name):
    space = SPACES[name]
    (known,) = distinct_cells(space, equal_weights(space), 1, draw(3))
    supernet = supernet_of_one_path(space, known)
    before = copy.deepcopy(supernet.state_dict())
    one, even = space.one_hot(known), equal_weights(space)
    weights = {cell: CellWeights(0.8 * one[cell].operations + 0.2 * even[cell].operations) for cell in one}
    row = weights[space.cell_types[0]].operations[0]  # of an edge that every cell has
    skip, best = space.primitives.index("skip_connect"), int(row.argmax())
    assert best != skip
    row[skip] = row[best] + 0.05
    told = []

    def tune(network, steps, learning_rate, purpose):
        batches = [striped_images(24, step) for step in range(steps)]
        told.append((steps, learning_rate, purpose))
        fine_tune(network, Standard(), batches, learning_rate=learning_rate, gradient_clip=5.0, noise=draw)

    paths = Paths(space, supernet, Standard(), [striped_images(96, 90)], [striped_images(150, 91)], 0)
    search = TrainedSearch(
        space=space,
        weights=weights,
        paths=lambda: paths,
        together=lambda *_: pytest.fail("nothing is trained anew"),
        alone=lambda *_: pytest.fail("nothing is trained anew"),
        tune=tune,
        generator=lambda purpose: draw(1),
        report=lambda done, total, numbers: None,
    )
    wrong = Argmax().select(search).genotype
    assert wrong != known
    draws = distinct_cells(space, weights, 60, draw(1), but=[wrong])
    selection = Shortlist(candidates=3 + draws.index(known), finalists=2, steps=2)
    found = selection.select(search)
    assert found.genotype == known
    assert [candidate.tuned is not None for candidate in found.candidates[:3]] == [True, True, False]
    assert [step for step, _, _ in told] == [2, 2]
    scores = [candidate.score.objective_accuracy for candidate in found.candidates[2:]]
    assert scores == sorted(scores, reverse=True)
    looked_at = [candidate.genotype for candidate in found.candidates]
    assert known in looked_at
    assert wrong in looked_at
    assert all(torch.equal(before[key], value) for key, value in supernet.state_dict().items())
    assert selection.select(search) == found


def test_fine_tuning_is_sgd_with_momentum():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)).eval()
    by_hand = copy.deepcopy(network)
    batches = [striped_images(12, step) for step in range(3)]
    fine_tune(network, Standard(), batches, learning_rate=0.1, gradient_clip=0.0, noise=draw)
    velocity = [torch.zeros_like(p) for p in by_hand.parameters()]
    for x, y in batches:
        loss = torch.nn.functional.cross_entropy(by_hand(x), y)
        gradients = torch.autograd.grad(loss, list(by_hand.parameters()))
        with torch.no_grad():
            for p, v, g in zip(by_hand.parameters(), velocity, gradients, strict=True):
                p -= 0.1 * v.mul_(0.9).add_(g)
    for one, other in zip(network.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    assert not network.training


@pytest.mark.parametrize("bad", [{"candidates": 0}, {"finalists": -1}, {"steps": -1}, {"learning_rate": 0.0}])
def test_values_out_of_range_are_refused_with_their_key(bad):
    with pytest.raises(ConfigError, match=f"conf: selection.{next(iter(bad))}"):
        Shortlist(**bad)
