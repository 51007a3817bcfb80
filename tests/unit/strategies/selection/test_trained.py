"""The likeliest cells are those of brute force, and the best of those trained alone is kept."""

import copy
from itertools import product

import pytest
import torch
from torch import nn

from dsrna.errors import ConfigError, NonFiniteError
from dsrna.objectives import FreeAdversarial, Standard
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.selection.base import TrainedSearch
from dsrna.strategies.selection.paths import PathScore
from dsrna.strategies.selection.sampling import distinct_cells, equal_weights, likeliest_cells
from dsrna.strategies.selection.trained import Trained
from dsrna.strategies.selection.training import train
from dsrna.testing.tiny_networks import faulty_network
from dsrna.types import CellWeights, Threat

NB201 = Nasbench201Space()
DARTS = DartsSpace(nodes=2, primitives=("none", "skip_connect", "sep_conv_3x3"))


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def close_weights(space, seed, edges=False):
    """Operation weights as a short search ends with: next to equal."""
    found = {}
    for cell_type, shape in space.weight_shapes().items():
        rows = (0.3 * torch.randn(shape, generator=draw(seed))).softmax(1)
        found[cell_type] = CellWeights(rows, torch.rand(shape[0], generator=draw(seed + 1)) if edges else None)
    return found


@pytest.mark.slow
def test_the_likeliest_cells_of_nas_bench_201_are_those_of_brute_force():
    weights = close_weights(NB201, 3)
    rows = weights["cell"].operations.double()
    cells = sorted(
        product(range(5), repeat=6),
        key=lambda cell: -float(torch.stack([rows[edge, column] for edge, column in enumerate(cell)]).prod()),
    )
    expected = []
    for cell in cells[:60]:
        found = NB201.derive({"cell": CellWeights(torch.eye(5)[list(cell)])})
        if found not in expected:
            expected.append(found)
    assert likeliest_cells(NB201, weights, 10, draw()) == expected[:10]
    assert likeliest_cells(NB201, weights, 9, draw(), but=expected[:1]) == expected[1:10]


@pytest.mark.slow
def test_the_likeliest_cell_is_the_derived_one_and_what_is_left_out_does_not_count():
    weights = close_weights(DARTS, 5, edges=True)
    found = likeliest_cells(DARTS, weights, 12, draw())
    assert found[0] == DARTS.derive(weights)
    every = distinct_cells(DARTS, equal_weights(DARTS), 2000, draw())
    scores = {}
    for genotype in every:
        total = 1.0
        for cell_type, cell in genotype.cells.items():
            rows, scales = weights[cell_type].operations, weights[cell_type].edges
            for target, node in enumerate(cell.nodes, start=2):
                for operation, source in node:
                    edge = DARTS.edges(cell_type).index((source, target))
                    total *= float(scales[edge] * rows[edge, DARTS.primitives.index(operation)])
        scores[genotype] = total
    best = sorted(scores, key=scores.__getitem__, reverse=True)
    assert found[:6] == best[:6]


def searched(weights, together, alone):
    """A search whose candidates have the accuracies and losses that are given, what it was asked, and what it told."""
    told, asked = [], []

    class SharedPaths:
        def score_of(self, cell):
            return scored(together[cell])

    def train_together(cells, epochs, images, report):
        asked.append((tuple(cells), epochs, images))
        for epoch in range(epochs):
            report(epoch + 1, 1.0)
        return SharedPaths()

    def train_alone(cell, cells, epochs, images, report):
        asked.append((cell, cells, epochs, images))
        for epoch in range(epochs):
            report(epoch + 1, 1.0)
        return scored(alone[cell])

    def refuse(*_):
        raise AssertionError("the search's own supernet is not looked at")

    search = TrainedSearch(
        space=NB201, weights=weights, paths=refuse, together=train_together, alone=train_alone, tune=refuse,
        generator=lambda _: draw(1), report=lambda done, total, numbers: told.append((done, total)),
    )  # fmt: skip
    return search, asked, told


def scored(accuracy_and_loss):
    accuracy, loss = accuracy_and_loss
    return PathScore(loss=loss, accuracy=1 - accuracy, objective_accuracy=accuracy)  # the clean accuracy misleads


WEIGHTS = close_weights(NB201, 3)
CELLS = likeliest_cells(NB201, WEIGHTS, 5, draw())
TOGETHER = dict(zip(CELLS, [(0.30, 1.3), (0.50, 1.2), (0.45, 1.0), (0.55, 1.1), (0.1, 0.9)], strict=True))


def test_cells_are_ranked_by_the_accuracy_under_the_objective():
    search, asked, told = searched(WEIGHTS, TOGETHER, {})
    found = Trained(candidates=5, shared_epochs=2, images=70).select(search)
    assert found.genotype == CELLS[3]
    assert asked == [(tuple(CELLS), 2, 70)]
    assert [candidate.genotype for candidate in found.candidates] == [CELLS[i] for i in (3, 1, 2, 0, 4)]
    assert [candidate.score.loss for candidate in found.candidates] == [1.1, 1.2, 1.0, 1.3, 0.9]
    assert told == [(i, 7) for i in range(1, 8)]


def test_equal_cells_stay_in_the_order_of_their_likelihood():
    search, _, _ = searched(WEIGHTS, dict.fromkeys(CELLS, (0.5, 1.0)), {})
    found = Trained(candidates=5, shared_epochs=2).select(search)
    assert [candidate.genotype for candidate in found.candidates] == CELLS


def test_the_finalists_are_the_best_that_were_trained_together_and_the_best_alone_is_kept():
    alone = {CELLS[3]: (0.3, 0.9), CELLS[1]: (0.5, 1.2), CELLS[2]: (0.5, 1.1)}  # of equals the lower loss
    search, asked, told = searched(WEIGHTS, TOGETHER, alone)
    found = Trained(candidates=5, shared_epochs=2, finalists=3, epochs=4, cells=2, images=70).select(search)
    assert found.genotype == CELLS[2]
    assert asked[1:] == [(CELLS[i], 2, 4, 70) for i in (3, 1, 2)]
    assert [candidate.genotype for candidate in found.candidates] == [CELLS[i] for i in (2, 1, 3, 0, 4)]
    assert told == [(i, 22) for i in range(1, 23)]


def test_without_a_shared_supernet_the_likeliest_are_trained_alone():
    alone = dict(zip(CELLS[:2], [(0.2, 1.0), (0.4, 1.0)], strict=True))
    search, asked, told = searched(WEIGHTS, {}, alone)
    found = Trained(candidates=5, shared_epochs=0, finalists=2, epochs=1).select(search)
    assert found.genotype == CELLS[1]
    assert [(cell, cells) for cell, cells, *_ in asked] == [(cell, None) for cell in CELLS[:2]]
    assert told[-1] == (4, 4)


def test_one_candidate_is_the_derived_cell():
    search, _, _ = searched(WEIGHTS, {NB201.derive(WEIGHTS): (0.1, 1.0)}, {})
    assert Trained(candidates=1).select(search).genotype == NB201.derive(WEIGHTS)


@pytest.mark.parametrize(
    "bad", [{"candidates": 0}, {"shared_epochs": -1}, {"finalists": -1}, {"epochs": 0}, {"cells": 0}, {"images": 0}]
)
def test_values_out_of_range_are_refused_with_their_key(bad):
    with pytest.raises(ConfigError, match=f"conf: selection.{next(iter(bad))}"):
        Trained(**bad)


def test_a_selection_that_would_train_nothing_is_refused():
    with pytest.raises(ConfigError, match="nothing would be trained"):
        Trained(shared_epochs=0, finalists=0)


@pytest.mark.parametrize("bad", ["weights", "carried images"])
def test_a_candidate_s_training_stops_before_a_step_that_is_no_number(bad):
    """Cells of NaN weights would be scored, and others chosen, without a word."""
    network, objective = faulty_network("nan gradient"), FreeAdversarial(Threat("linf", 0.01))
    if bad == "weights":
        first = nn.Linear(4, 4)
        nn.init.eye_(first.weight)
        nn.init.zeros_(first.bias)
        network, objective = nn.Sequential(network[0], first, *network[1:]), Standard()
    before = copy.deepcopy(network.state_dict())
    batch = torch.full((2, 1, 2, 2), 0.7), torch.tensor([0, 1])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with pytest.raises(NonFiniteError, match="step 1 of the training of a selection's candidate"):
        train(network, objective, [batch], optimizer, gradient_clip=5.0, noise=draw)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
