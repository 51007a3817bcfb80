"""Cells drawn from operation weights, their scores as paths of a supernet, and a cell's rank among random ones."""

import copy
from collections import Counter
from itertools import permutations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dsrna.attacks.pgd import PGD
from dsrna.nn.edges.implementation import use_implementation
from dsrna.objectives.adversarial import Adversarial
from dsrna.objectives.standard import Standard
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.selection.comparison import Comparison
from dsrna.strategies.selection.paths import Paths
from dsrna.strategies.selection.sampling import distinct_cells, equal_weights, sampled_cell
from dsrna.types import CellWeights, Threat
from tests.known_best_path import striped_images, supernet_of_one_path
from tests.thorough import thorough

DARTS = DartsSpace(nodes=2, primitives=("none", "skip_connect", "max_pool_3x3", "sep_conv_3x3"))
NB201 = Nasbench201Space()
SPACES = {"darts": DARTS, "nasbench201": NB201}
DRAWS = 1200


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def close_to(count, share):
    """Within five standard deviations of a binomial."""
    return abs(count - DRAWS * share) <= 5 * (DRAWS * share * (1 - share)) ** 0.5


@pytest.mark.slow
def test_operations_are_drawn_in_proportion_to_their_weights():
    weights = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4]).repeat(6, 1)
    weights[2] = weights[2].flip(0)
    cells = [sampled_cell(NB201, {"cell": CellWeights(weights)}, noise) for noise in [draw()] for _ in range(DRAWS)]
    rows = [NB201.one_hot(cell)["cell"].operations.argmax(dim=1) for cell in cells]
    counts = F.one_hot(torch.stack(rows), 5).sum(dim=0)
    for edge in (0, 2, 5):
        for operation, share in enumerate(weights[edge].tolist()):
            assert close_to(int(counts[edge, operation]), share), (edge, operation)


@pytest.mark.slow
def test_edges_are_drawn_one_after_the_other_in_proportion_to_their_strength():
    operations = torch.tensor([[5.0, 0.1, 0.2, 0.1], [5.0, 0.4, 0.2, 0.2]] + [[9.0, 0.3, 0.3, 0.2]] * 3)
    edges = torch.tensor([1.0, 1.0, 0.5, 0.25, 0.25])
    cell = CellWeights(operations, edges)
    noise = draw(1)
    cells = [sampled_cell(DARTS, {"normal": cell, "reduce": cell}, noise).cells["normal"] for _ in range(DRAWS)]
    pairs = Counter(tuple(source for _, source in cell.nodes[1]) for cell in cells)
    strengths = {0: 0.5, 1: 0.25, 2: 0.25}
    for pair in ((0, 1), (0, 2), (1, 2)):
        share = sum(strengths[a] * strengths[b] / (1 - strengths[a]) for a, b in permutations(pair))
        assert close_to(pairs[pair], share), pair
    skips = sum(("skip_connect", 1) in cell.nodes[0] for cell in cells)
    assert close_to(skips, 0.5)  # .4 of .8, `none` left aside


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_distinct_cells_begin_alike_and_leave_out_what_they_are_told(space):
    few, many = (distinct_cells(space, equal_weights(space), count, draw()) for count in (5, 40))
    assert many[:5] == few
    assert all(many.count(cell) == 1 for cell in many)
    assert distinct_cells(space, equal_weights(space), 4, draw(), but=[few[1]]) == [few[0], *few[2:]]


@pytest.mark.slow
def test_a_space_with_few_cells_gives_what_it_has():
    tiny = DartsSpace(nodes=1, primitives=("skip_connect", "max_pool_3x3"))  # two edges a cell, all kept
    assert len(distinct_cells(tiny, equal_weights(tiny), 100, draw())) == 2**4


class Calibrated(nn.Module):
    """The supernet itself under one-hot weights, its statistics torch's own cumulative mean."""

    def __init__(self, supernet, weights, batches):
        super().__init__()
        self.supernet, self.weights = copy.deepcopy(supernet), weights
        use_implementation(self.supernet, "reference")
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.reset_running_stats()
                layer.momentum = None
        self.train()
        with torch.no_grad():
            for x, _ in batches:
                self(x)
        self.eval()

    def forward(self, x):
        return self.supernet(x, self.weights)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "partial", "objective"),
    [
        ("darts", 1, "standard"),
        ("darts", 2, "adversarial"),
        ("nasbench201", 1, "adversarial"),
        ("nasbench201", 2, "standard"),
        thorough("darts", 1, "adversarial"),
        thorough("darts", 2, "standard"),
        thorough("nasbench201", 1, "standard"),
        thorough("nasbench201", 2, "adversarial"),
    ],
)
def test_a_score_is_that_of_the_calibrated_one_hot_supernet(space, partial, objective):
    space = SPACES[space]
    supernet = supernet_of_one_path(space, distinct_cells(space, equal_weights(space), 1, draw(5))[0], 2, partial)
    use_implementation(supernet, "auto")
    supernet.train()
    before = copy.deepcopy(supernet.state_dict())
    calibration, held_out = [striped_images(24, 90), striped_images(24, 91)], [striped_images(20, 92)]
    eps = 0.1
    chosen = Standard() if objective == "standard" else Adversarial(Threat("linf", eps), steps=2, random_start=False)
    paths = Paths(space, supernet, chosen, calibration, held_out, 0)
    for genotype in distinct_cells(space, equal_weights(space), 2, draw(6)):
        by_hand = Calibrated(supernet, space.one_hot(genotype), calibration)
        x, y = held_out[0]
        attacked = (
            x if objective == "standard" else PGD("linf", eps, steps=2, random_start=False)(by_hand, x, y, draw())
        )
        logits = by_hand(attacked).detach()
        for score in (paths.score_of(genotype), paths.score(paths.network(genotype))):
            assert score.loss == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-4)
            assert score.accuracy == int((by_hand(x).argmax(1) == y).sum()) / len(y)
            assert score.objective_accuracy == int((logits.argmax(1) == y).sum()) / len(y)
    after = supernet.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(module.training for module in supernet.modules())


@pytest.mark.slow
@pytest.mark.parametrize("name", [thorough("darts"), "nasbench201"])
def test_the_only_path_that_was_trained_is_told_from_random_cells(name):
    space = SPACES[name]
    known, *others = distinct_cells(space, equal_weights(space), 25, draw(3))
    paths = Paths(
        space, supernet_of_one_path(space, known), Standard(), [striped_images(96, 90)], [striped_images(150, 91)], 0
    )
    scores = [-paths.score_of(cell).accuracy for cell in (known, *others)]
    assert Comparison.of(scores[0], scores[1:]).verdict == "better"
    assert Comparison.of(scores[1], scores[:1] + scores[2:]).verdict == "indistinguishable"


@pytest.mark.parametrize("count", [18, 19, 64])
def test_a_random_cell_is_called_better_in_at_most_one_case_of_twenty(count):
    ranks = range(count + 1)  # without ties, a random cell has each with equal chance
    verdicts = [Comparison.of(own, [other for other in ranks if other != own]).verdict for own in ranks]
    if count < 19:
        assert set(verdicts) == {"too few"}
        return
    allowed = (count + 1) // 20
    assert verdicts == (["better"] * allowed + ["indistinguishable"] * (count + 1 - 2 * allowed) + ["worse"] * allowed)


def test_rank_share_and_interval_among_random_cells():
    found = Comparison.of(2.5, [float(value) for value in range(64)])
    assert (found.count, found.rank, found.beaten) == (64, 4, 61 / 64)
    assert found.chance == 4 / 65
    # Wilson's interval, from its formula
    z, n, p = 1.959964, 64, 61 / 64
    middle, half = p + z**2 / (2 * n), z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    assert found.interval == pytest.approx(((middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)), 1e-5)


def test_ties_tell_nothing():
    found = Comparison.of(1.0, [1.0] * 64)
    assert (found.rank, found.beaten, found.verdict) == (65, 0.0, "indistinguishable")
    assert Comparison.of(1.0, [1.0] * 3 + [2.0] * 61).verdict == "indistinguishable"
    assert Comparison.of(1.0, [1.0] * 2 + [2.0] * 62).verdict == "better"
