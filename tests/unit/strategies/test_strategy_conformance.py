"""Every strategy keeps the contract, and the suite that says so notices those that don't."""

import pytest
import torch

from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.alphas import AlphaArchitecture, AlphaStrategy
from dsrna.strategies.darts import Darts, DartsArchitecture
from dsrna.strategies.drnas import Drnas
from dsrna.strategies.fair import Fair
from dsrna.strategies.gaea import Gaea
from dsrna.strategies.gdas import Gdas, GdasArchitecture
from dsrna.strategies.pcdarts import PCDarts
from dsrna.strategies.snas import Snas
from dsrna.testing.strategy_conformance import check_strategy
from dsrna.types import CellWeights
from tests.thorough import thorough

STRATEGIES = [
    Darts(), Darts(edge_normalization=True), PCDarts(), Gdas(), Gdas(edge_normalization=True), Gaea(),
    Gaea(edge_normalization=True), Snas(), Drnas(), Drnas(edge_normalization=True), Fair(),
    Fair(edge_normalization=True),
]  # fmt: skip
SPACES = [DartsSpace(nodes=2), Nasbench201Space()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "space"),
    [  # in turn: with edge weights mostly on the space of one cell type
        (strategy, space) if (i + j) % 2 == 0 or i < 2 else thorough(strategy, space)
        for i, strategy in enumerate(STRATEGIES)
        for j, space in enumerate(SPACES)
    ],
    ids=lambda part: getattr(part, "name", type(part).__name__),
)
def test_strategies_conform(strategy, space):
    check_strategy(strategy, space)


class DrawsInForward(GdasArchitecture):
    def forward(self):
        self.begin_step(0.0, torch.Generator())
        self.begin_step(0.0, torch.Generator().manual_seed(int(torch.randint(1000, ()))))
        return super().forward()


class DrawsFromTorch(DartsArchitecture):
    def begin_step(self, progress, generator):
        self.noise = torch.rand(1)

    def relaxed(self, cell_type):
        return (
            self.logits(cell_type) + getattr(self, "noise", 0) * torch.arange(self.logits(cell_type).shape[1])
        ).softmax(1)


class DerivesTheDraw(GdasArchitecture):
    def expected(self):
        return self()


class MinusTheAlphas(DartsArchitecture):
    def relaxed(self, cell_type):
        return (-self.logits(cell_type)).softmax(1)


class OffTheSimplex(DartsArchitecture):
    def relaxed(self, cell_type):
        return self.logits(cell_type).sigmoid()


class Negative(DartsArchitecture):
    def relaxed(self, cell_type):
        return self.logits(cell_type)


class WithoutGradient(DartsArchitecture):
    def relaxed(self, cell_type):
        return super().relaxed(cell_type).detach() + 0 * self.alphas[cell_type]


class OnlyWhileTraining(GdasArchitecture):
    def relaxed(self, cell_type):
        return super().relaxed(cell_type) if self.training else self.relaxed_expected(cell_type)


class CarriesOn(DartsArchitecture):
    calls = 0.0

    def begin_step(self, progress, generator):
        self.calls += 0.1

    def relaxed(self, cell_type):
        return (self.logits(cell_type) * (1 + self.calls)).softmax(1)


class AcrossEdges(DartsArchitecture):
    def relaxed(self, cell_type):
        return self.logits(cell_type).softmax(0)


class OneCellTypeForAll(DartsArchitecture):
    def relaxed(self, cell_type):
        return self.logits(next(iter(self.alphas))).softmax(1)

    relaxed_expected = relaxed


class EdgesAcrossNodes(DartsArchitecture):
    def _edges(self, cell_type):
        return self.betas[cell_type].softmax(0)


class FirstEdgeAlone(AlphaArchitecture):
    def relaxed(self, cell_type):
        return self.relaxed_expected(cell_type)

    def expected(self):
        weights = super().expected()
        return {name: CellWeights(cell.operations.flip(1)) for name, cell in weights.items()}


MISTAKES = [
    (DrawsInForward, r"forward\(\) draws from torch's global generator|differs from call to call"),
    (DrawsFromTorch, "draws other weights under the same generator"),
    (DerivesTheDraw, r"expected\(\) depends on the draw"),
    (MinusTheAlphas, "prefers other operations than expected|not expected"),
    (OffTheSimplex, "sum to 1 but for"),
    (Negative, "a weight is negative"),
    (WithoutGradient, "no gradient reaches alphas"),
    (OnlyWhileTraining, "differs in evaluation mode"),
    (CarriesOn, "draws other weights under the same generator|depends on"),
    (AcrossEdges, "sum to 1 but for"),
    (OneCellTypeForAll, "no gradient reaches alphas.reduce"),
    (EdgesAcrossNodes, "the edge weights of node 2 sum to"),
    (FirstEdgeAlone, "prefers other operations than expected|not expected"),
]


@pytest.mark.parametrize(("kind", "message"), MISTAKES, ids=lambda value: getattr(value, "__name__", None))
def test_mistakes_are_noticed(kind, message):
    class Wrong(AlphaStrategy):
        def initial(self, space, generator=None):
            ranges = ((10.0, 0.1),) if issubclass(kind, GdasArchitecture) else ()
            return kind(space, self.init_scale, kind is EdgesAcrossNodes, generator, *ranges)

    with pytest.raises(AssertionError, match=message):
        check_strategy(Wrong(), SPACES[0])


def test_initial_alphas_must_come_from_the_generator():
    class Global(Darts):
        def initial(self, space, generator=None):
            return super().initial(space, None)

    with pytest.raises(AssertionError, match="initial\\(\\) draws from torch's global generator"):
        check_strategy(Global(), SPACES[1])


def test_dropped_operations_have_no_weight_and_no_gradient():
    for strategy in STRATEGIES:
        architecture = strategy.initial(SPACES[0], torch.Generator().manual_seed(0))
        kept = torch.ones(5, 8, dtype=torch.bool)
        kept[1, 2:] = False
        architecture.keep({"normal": kept})
        architecture.keep({"normal": torch.ones(5, 8, dtype=torch.bool)})  # what was dropped stays so
        architecture.begin_step(0.3, torch.Generator().manual_seed(0))
        for weights in (architecture(), architecture.expected()):
            rows = weights["normal"].operations
            assert bool((rows[1, 2:] == 0).all())
            if architecture.on_simplex:
                torch.testing.assert_close(rows.sum(1), torch.ones(5))
            values = torch.arange(1.0, 9.0).expand(5, 8)
            (gradient,) = torch.autograd.grad((rows * values).sum(), architecture.alphas["normal"])
            assert bool(gradient.isfinite().all())
            assert bool((gradient[1, 2:] == 0).all())
            assert bool((gradient[1, :2] != 0).all())
        loaded = strategy.initial(SPACES[0])
        loaded.load_state_dict(architecture.state_dict())
        assert torch.equal(loaded.kept("normal"), kept)


def test_an_edge_keeps_an_operation():
    architecture = Darts().initial(SPACES[1])
    with pytest.raises(Exception, match="at least one operation on every edge of the cell cell"):
        architecture.keep({"cell": torch.zeros(6, 5, dtype=torch.bool)})
