"""Selection by perturbation against a textbook version of DARTS-PT, on tiny supernets of both spaces."""

import copy

import pytest
import torch
import torch.nn.functional as F

from dsrna.config.catalog import choices
from dsrna.config.compose import compose, settings_from
from dsrna.config.parts import build_part
from dsrna.errors import ConfigError
from dsrna.nn.edges.implementation import use_implementation
from dsrna.objectives.standard import Standard
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.selection.argmax import Argmax
from dsrna.strategies.selection.base import TrainedSearch
from dsrna.strategies.selection.paths import Paths
from dsrna.strategies.selection.perturbation import Perturbation
from dsrna.strategies.selection.sampling import distinct_cells, equal_weights
from dsrna.strategies.selection.training import fine_tune
from dsrna.types import CellWeights
from tests.known_best_path import CLASSES, SHAPE, striped_images, supernet_of_one_path
from tests.thorough import thorough

SPACES = {
    "darts": DartsSpace(nodes=2, primitives=("none", "skip_connect", "sep_conv_3x3")),
    "nasbench201": Nasbench201Space(),
}
CALIBRATION, HELD_OUT = [striped_images(16, 90), striped_images(16, 92)], [striped_images(30, 91)]
STEPS, RATE = 1, 0.05


def draw(purpose):
    return torch.Generator().manual_seed(sum(purpose.encode()) if isinstance(purpose, str) else purpose)


def search_of(space, supernet, weights, told=None):
    def tune(network, steps, learning_rate, purpose):
        if told is not None:
            told.append((steps, learning_rate, purpose))
        batches = [striped_images(12, draw(purpose).initial_seed() + step) for step in range(steps)]
        fine_tune(network, Standard(), batches, learning_rate=learning_rate, gradient_clip=0.0, noise=draw)

    paths = Paths(space, supernet, Standard(), CALIBRATION, HELD_OUT, 0)
    return TrainedSearch(
        space=space,
        weights=weights,
        paths=lambda: paths,
        together=lambda *_: pytest.fail("nothing is trained anew"),
        alone=lambda *_: pytest.fail("nothing is trained anew"),
        tune=tune,
        generator=draw,
        report=lambda done, total, numbers: None,
    )


def mixture(space, seed, edge_weights=False):
    """Operation weights as a softmax of random numbers, and edge weights."""
    noise = draw(seed)
    return {
        cell_type: CellWeights(
            torch.randn(shape, generator=noise).softmax(1),
            0.2 + torch.rand(shape[0], generator=noise) if edge_weights else None,
        )
        for cell_type, shape in space.weight_shapes().items()
    }


def trained(space, weights, steps=12, partial_channels=1):
    torch.manual_seed(3)
    supernet = space.supernet(SHAPE, CLASSES, cells=1 if space.name == "nasbench201" else 3, channels=4,
                              partial_channels=partial_channels)  # fmt: skip
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.1, momentum=0.9)
    for step in range(steps):
        x, y = striped_images(24, step)
        optimizer.zero_grad()
        F.cross_entropy(supernet(x, weights), y).backward()
        optimizer.step()
    return supernet


class Textbook:
    """Algorithm 1 of DARTS-PT, with dictionaries of rows and torch alone."""

    def __init__(self, space, supernet, weights):
        self.space, self.net = space, copy.deepcopy(supernet)
        use_implementation(self.net, "reference")
        self.rows = {(c, e): row.double().tolist() for c, w in weights.items() for e, row in enumerate(w.operations)}
        self.ends = {
            c: [1.0] * len(w.operations) if w.edges is None else w.edges.double().tolist() for c, w in weights.items()
        }
        self.tuned = 0

    def logits(self, x, rows, ends):
        like = next(self.net.parameters())
        weights = {
            c: CellWeights(torch.tensor([rows[c, e] for e in range(len(self.space.edges(c)))]).to(like),
                           torch.tensor(ends[c]).to(like))
            for c in self.space.cell_types
        }  # fmt: skip
        return self.net(x, weights)

    def harm(self, rows, ends):
        """(accuracy, -loss) of the supernet in evaluation mode, after its statistics were averaged anew."""
        layers = [layer for layer in self.net.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None
        self.net.train()
        with torch.no_grad():
            for x, _ in CALIBRATION:
                self.logits(x, rows, ends)
            self.net.eval()
            x, y = HELD_OUT[0]
            logits = self.logits(x, rows, ends)
        for layer in layers:
            layer.momentum = 0.1
        return int((logits.argmax(1) == y).sum()), -F.cross_entropy(logits, y).item()

    def tune(self):
        self.tuned += 1
        optimizer = torch.optim.SGD(self.net.parameters(), lr=RATE, momentum=0.9)
        self.net.train()
        for step in range(STEPS):
            x, y = striped_images(12, draw(f"perturbation {self.tuned}").initial_seed() + step)
            optimizer.zero_grad()
            F.cross_entropy(self.logits(x, self.rows, self.ends), y).backward()
            optimizer.step()

    def run(self):
        edges = [(c, e) for c in self.space.cell_types for e in range(len(self.space.edges(c)))]
        order = torch.randperm(len(edges), generator=draw("perturbed edges")).tolist()
        for number, (c, e) in enumerate(edges[place] for place in order):
            if number:
                self.tune()
            found = {}
            for o, name in enumerate(self.space.primitives):
                if name == "none" and self.space.name == "darts":
                    continue
                row = list(self.rows[c, e])
                row[o] = 0.0
                scale = sum(self.rows[c, e]) / sum(row)
                found[o] = self.harm(self.rows | {(c, e): [scale * value for value in row]}, self.ends)
            best = min(found, key=found.get)
            self.rows[c, e] = [float(o == best) for o in range(len(self.space.primitives))]
        kept = {c: set(range(len(self.space.edges(c)))) for c in self.space.cell_types}
        if self.space.name == "darts":
            nodes = [(c, 3) for c in self.space.cell_types]  # the only node of three edges
            for c, node in (nodes[place] for place in torch.randperm(2, generator=draw("perturbed nodes")).tolist()):
                self.tune()
                found = {}
                for e in [e for e, (_, target) in enumerate(self.space.edges(c)) if target == node]:
                    ends = list(self.ends[c])
                    ends[e] = 0.0
                    found[e] = self.harm(self.rows, self.ends | {c: ends})
                worst = max(found, key=found.get)
                self.ends[c][worst] = 0.0
                kept[c].remove(worst)
        return {
            c: {self.space.edges(c)[e]: self.space.primitives[self.rows[c, e].index(1.0)] for e in kept[c]}
            for c in self.space.cell_types
        }


def as_dictionary(space, genotype):
    found = {}
    for c, cell in genotype.cells.items():
        first = min(target for _, target in space.edges(c))
        found[c] = {(source, n): op for n, node in enumerate(cell.nodes, start=first) for op, source in node}
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "implementation", "edge_weights", "partial"),
    [
        ("darts", "auto", True, 1),
        thorough("darts", "reference", False, 2),
        ("nasbench201", "auto", False, 1),
    ],
)
def test_it_does_what_the_textbook_does(name, implementation, edge_weights, partial):
    space = SPACES[name]
    weights = mixture(space, 4, edge_weights)
    supernet = trained(space, weights, partial_channels=partial)
    expected = Textbook(space, supernet, weights).run()
    use_implementation(supernet, implementation)
    before, told = copy.deepcopy(supernet.state_dict()), []
    found = Perturbation(STEPS, RATE).select(search_of(space, supernet, weights, told))
    assert as_dictionary(space, found.genotype) == expected
    assert found.genotype != Argmax().select(search_of(space, supernet, weights)).genotype
    places = sum(len(space.edges(c)) for c in space.cell_types) + (2 if name == "darts" else 0)
    assert [purpose for _, _, purpose in told] == [f"perturbation {n}" for n in range(1, places)]
    assert all(asked[:2] == (STEPS, RATE) for asked in told)
    assert len(found.decisions) == places
    for decision in found.decisions:
        left = {removed: score.objective_accuracy for removed, score in decision.without.items()}
        assert max(left[kept] for kept in decision.kept) <= min(left[o] for o in {*left} - {*decision.kept})
    assert all(torch.equal(before[key], value) for key, value in supernet.state_dict().items())


@pytest.mark.slow
def test_it_finds_the_operation_that_was_trained_where_argmax_does_not():
    space = SPACES["nasbench201"]
    (known,) = distinct_cells(space, equal_weights(space), 1, draw(3))
    one, even = space.one_hot(known), equal_weights(space)
    weights = {cell: CellWeights(0.8 * one[cell].operations + 0.2 * even[cell].operations) for cell in one}
    row = weights[space.cell_types[0]].operations[0]
    row[space.primitives.index("skip_connect")] = row.max() + 0.05
    search = search_of(space, supernet_of_one_path(space, known), weights)
    assert Argmax().select(search).genotype != known
    found = as_dictionary(space, Perturbation(steps=0).select(search).genotype)
    cell = space.cell_types[0]
    assert found[cell][space.edges(cell)[0]] == as_dictionary(space, known)[cell][space.edges(cell)[0]]


@pytest.mark.slow
def test_an_operation_without_weight_is_no_candidate_and_one_alone_is_kept_without_a_look():
    space = SPACES["nasbench201"]
    weights = mixture(space, 4)
    operations = weights["cell"].operations
    operations[0] = torch.tensor([0.3, 0.0, 0.7, 0.0, 0.0])
    operations[2] = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0])
    found = Perturbation(steps=0).select(search_of(space, trained(space, weights, 3), weights))
    looked = {decision.place: set(decision.without) for decision in found.decisions}
    assert looked["0 -> 1"] == {space.primitives[0], space.primitives[2]}
    assert "1 -> 2" not in looked
    assert as_dictionary(space, found.genotype)["cell"][1, 2] == space.primitives[4]


@pytest.mark.slow
def test_none_is_not_kept_where_it_cuts_off_the_output():
    """Every removal costs the same here, and `none` is the first of equals."""
    space = SPACES["nasbench201"]
    supernet = trained(space, mixture(space, 4), 0)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.zero_()
    found = as_dictionary(
        space, Perturbation(steps=0).select(search_of(space, supernet, equal_weights(space))).genotype
    )
    ways = [{(0, 3)}, {(0, 1), (1, 3)}, {(0, 2), (2, 3)}, {(0, 1), (1, 2), (2, 3)}]
    assert any(all(found["cell"][edge] != "none" for edge in way) for way in ways)
    assert "none" in found["cell"].values()


@pytest.mark.slow
@pytest.mark.parametrize("strategy", choices("strategy"))
def test_it_takes_the_expected_weights_of_every_strategy(strategy):
    space = DartsSpace(nodes=1, primitives=("none", "skip_connect", "sep_conv_3x3"))
    part = build_part(settings_from(compose("search", [f"strategy={strategy}"])).strategy, "strategy")
    weights = part.initial(space, draw(1)).expected()
    found = Perturbation(steps=0).select(search_of(space, trained(space, equal_weights(space), 2), weights))
    space.check(found.genotype)
    assert len(found.decisions) == 4


@pytest.mark.parametrize("bad", [{"steps": -1}, {"learning_rate": 0.0}, {"learning_rate": float("inf")}])
def test_values_out_of_range_are_refused_with_their_key(bad):
    with pytest.raises(ConfigError, match=f"conf: selection.{next(iter(bad))}"):
        Perturbation(**bad)
