"""The likeliest cells are those of brute force, and the best of those trained alone is kept."""

from itertools import product

import pytest
import torch

from dsrna.errors import ConfigError
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.selection.base import TrainedSearch
from dsrna.strategies.selection.paths import PathScore
from dsrna.strategies.selection.sampling import distinct_cells, equal_weights, likeliest_cells
from dsrna.strategies.selection.trained import Trained
from dsrna.types import CellWeights

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


@pytest.mark.parametrize("edges", [False, True])
def test_the_likeliest_cell_is_the_derived_one_and_what_is_left_out_does_not_count(edges):
    weights = close_weights(DARTS, 5, edges)
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
                    total *= float(rows[edge, DARTS.primitives.index(operation)]) * (
                        1.0 if scales is None else float(scales[edge])
                    )
        scores[genotype] = total
    best = sorted(scores, key=scores.__getitem__, reverse=True)
    assert found[:6] == best[:6]


def search_with(alone, weights, told=None):
    def refuse(*_):
        raise AssertionError("no path is looked at")

    def report(done, total, numbers):
        if told is not None:
            told.append((done, total, numbers))

    return TrainedSearch(
        space=NB201, weights=weights, paths=refuse, alone=alone, tune=refuse, generator=lambda _: draw(1), report=report
    )


def test_the_best_is_kept_by_the_accuracy_under_attack_then_by_the_loss_then_by_likelihood():
    weights = close_weights(NB201, 3)
    cells = likeliest_cells(NB201, weights, 5, draw())
    asked, told = [], []
    #   accuracy under attack and loss, of the likeliest first; the clean accuracy misleads
    scores = dict(zip(cells, [(0.3, 1.0), (0.5, 1.2), (0.5, 1.1), (0.5, 1.1), (0.4, 0.1)], strict=True))

    def alone(cell, epochs, images):
        asked.append((cell, epochs, images))
        return PathScore(loss=scores[cell][1], accuracy=1 - scores[cell][0], objective_accuracy=scores[cell][0])

    found = Trained(candidates=5, epochs=2, images=70).select(search_with(alone, weights, told))
    assert found.genotype == cells[2]
    assert asked == [(cell, 2, 70) for cell in cells]
    assert [candidate.genotype for candidate in found.candidates] == [cells[i] for i in (2, 3, 1, 4, 0)]
    assert [candidate.alone.objective_accuracy for candidate in found.candidates] == [0.5, 0.5, 0.5, 0.4, 0.3]
    assert [(done, total) for done, total, _ in told] == [(i, 5) for i in range(1, 6)]


def test_one_candidate_is_the_derived_cell():
    weights = close_weights(NB201, 3)
    found = Trained(candidates=1).select(search_with(lambda *_: PathScore(1, 0.1, 0.1), weights))
    assert found.genotype == NB201.derive(weights)


@pytest.mark.parametrize("bad", [{"candidates": 0}, {"epochs": 0}, {"images": -1}])
def test_values_out_of_range_are_refused_with_their_key(bad):
    with pytest.raises(ConfigError, match=f"conf: selection.{next(iter(bad))}"):
        Trained(**bad)
