"""Every strategy in conf/ searches alike on both spaces, whatever computes the edges."""

import copy

import pytest
import torch
import torch.nn.functional as F
import yaml

from dsrna.config.catalog import choices, conf_folder
from dsrna.config.parts import build_part
from dsrna.nn.edges.compiled.library import cpp_compiler
from dsrna.nn.edges.implementation import use_implementation
from dsrna.nn.edges.mixed_edges import MixedEdges
from dsrna.nn.modes import batchnorm_statistics_frozen
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies import unrolled
from dsrna.strategies.exponentiated_gradient import ExponentiatedGradient
from dsrna.strategies.first_order import FirstOrder
from dsrna.strategies.gaea import Gaea
from dsrna.strategies.hypergradient import InnerStep
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.strategies.search_step import SearchStep
from dsrna.strategies.unrolled import Unrolled
from tests.thorough import thorough

SPACES = {"darts": (DartsSpace(nodes=2), 3), "nasbench201": (Nasbench201Space(), 1)}
FASTER = ("compiled", "batched") if cpp_compiler() else ("batched",)
SHAPE, CLASSES = (2, 8, 8), 3


def strategy_of(name, where):
    """As the file says; on the DARTS space as PC-DARTS does, with partial channels and edge weights."""
    node = yaml.safe_load((conf_folder() / "strategy" / f"{name}.yaml").read_text())
    node.pop("defaults", None)
    if where == "darts" or name == "pcdarts":
        node["partial_channels"] = 2
    if where == "darts" and name != "pcdarts":
        node["edge_normalization"] = True
    return build_part(node, "strategy")


def supernet_of(strategy, where):
    space, cells = SPACES[where]
    torch.manual_seed(0)
    supernet = space.supernet(SHAPE, CLASSES, cells=cells, channels=4, partial_channels=strategy.partial_channels)
    return RelaxedSupernet(supernet, strategy.initial(space, torch.Generator().manual_seed(1))).double()


def optimizer_of(strategy, alphas):
    """What moves a strategy's alphas."""
    is_gaea = isinstance(strategy, Gaea)
    found = ExponentiatedGradient(alphas, lr=0.5) if is_gaea else torch.optim.Adam(alphas, lr=0.1)
    strategy.check_optimizer(found)
    return found


def searched(model, strategy, hypergradient):
    """The operation weights after two architecture steps and two weight steps in turn, and the network's state."""
    draw = torch.Generator().manual_seed(2)
    alphas, weights = list(model.architecture.parameters()), list(model.supernet.parameters())
    of_alphas, of_weights = optimizer_of(strategy, alphas), torch.optim.SGD(weights, lr=0.05, momentum=0.9)
    for number in range(4):
        kind = "weights" if number % 2 else "architecture"
        (x, y), (other_x, other_y) = (
            (torch.rand(6, *SHAPE, generator=draw, dtype=torch.float64), torch.arange(6) % CLASSES) for _ in range(2)
        )
        model.begin_step(SearchStep(kind, number / 4, torch.Generator().manual_seed(number), lambda _: torch.zeros(())))
        if kind == "weights":
            loss = F.cross_entropy(model(x), y)
            gradients = torch.autograd.grad(loss, weights)
            moved, optimizer = weights, of_weights
        else:
            with batchnorm_statistics_frozen(model):
                gradients = hypergradient(
                    validation_loss=lambda x=x, y=y: F.cross_entropy(model(x), y),
                    training_loss=lambda x=other_x, y=other_y: F.cross_entropy(model(x), y),
                    alphas=alphas, weights=weights, inner=InnerStep.of(of_weights, weights),
                ).gradients  # fmt: skip
            moved, optimizer = alphas, of_alphas
        for parameter, gradient in zip(moved, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
    return model.architecture.expected(), model.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "where"),
    [
        (name, where) if where == "darts" or name in ("darts", "gdas") else thorough(name, where)
        for name in choices("strategy")
        for where in SPACES
    ],
)
def test_steps_of_a_search_are_those_of_the_reference(name, where, monkeypatch):
    strategy = strategy_of(name, where)
    start = supernet_of(strategy, where)
    expected, state = searched(copy.deepcopy(start), strategy, FirstOrder())
    for before, after in zip(start.architecture.expected().values(), expected.values(), strict=True):
        assert not torch.allclose(after.operations, before.operations, atol=0.005), "the alphas moved"
    objection, objections = MixedEdges.objection, []
    monkeypatch.setattr(MixedEdges, "objection", lambda *call: objections.append(objection(*call)))
    for kind in FASTER:
        model = copy.deepcopy(start)
        assert use_implementation(model, kind) == f"{kind} (it was asked for)"
        found, ends = searched(model, strategy, FirstOrder())
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(ends, state, rtol=1e-8, atol=1e-10)
    assert set(objections) == {None}, "no call went another way"


@pytest.mark.parametrize("name", choices("strategy"))
def test_derivatives_through_a_weight_step_see_one_architecture(name, monkeypatch):
    """By double backward and by finite differences of several passes, each of which would draw anew if it could."""
    monkeypatch.setattr(unrolled, "_RELATIVE_STEP", 1e-6)  # else ReLUs change sides in between
    model = supernet_of(strategy_of(name, "nasbench201"), "nasbench201")
    draw = torch.Generator().manual_seed(2)
    train, validation = (torch.rand(6, *SHAPE, generator=draw, dtype=torch.float64) for _ in range(2))
    y, alphas = torch.arange(6) % CLASSES, list(model.architecture.parameters())
    model.begin_step(SearchStep("architecture", 0.5, torch.Generator().manual_seed(3), lambda _: torch.zeros(())))

    def gradient(hypergradient):
        with batchnorm_statistics_frozen(model):
            found = hypergradient(
                validation_loss=lambda: F.cross_entropy(model(validation), y),
                training_loss=lambda: F.cross_entropy(model(train), y),
                alphas=alphas, weights=list(model.supernet.parameters()), inner=InnerStep(0.1),
            )  # fmt: skip
        return torch.cat([slope.flatten() for slope in found.gradients])

    exact, differences = gradient(Unrolled("exact")), gradient(Unrolled("finite_difference"))
    assert torch.cosine_similarity(exact, differences, dim=0) > 0.995
    assert torch.cosine_similarity(exact, gradient(FirstOrder()), dim=0) < 0.99
