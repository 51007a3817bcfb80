"""Training objectives as the losses of a search's steps, on both spaces and by every implementation of the edges."""

import copy

import pytest
import torch
import torch.nn.functional as F

from dsrna.attacks import FGSM
from dsrna.errors import NonFiniteError
from dsrna.functional.margins import all_margins
from dsrna.functional.projections import uniform_start
from dsrna.metrics.curvature import Curvature
from dsrna.metrics.local_radius import LocalRadius
from dsrna.metrics.loss_gradient import LossGradient
from dsrna.nn.batch_statistics import normalising_by, noting_batch_statistics
from dsrna.nn.edges.implementation import use_implementation
from dsrna.nn.modes import evaluation_mode
from dsrna.objectives import Adversarial, FastAdversarial, Standard, Trades
from dsrna.objectives.certified import Certified
from dsrna.objectives.seen_batch import SeenBatch
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.darts import Darts
from dsrna.strategies.gdas import Gdas
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.testing.tiny_networks import faulty_network
from dsrna.types import Threat
from tests.thorough import thorough

EPS = 0.1
THREAT = Threat("linf", EPS)
SPACES = {"darts": DartsSpace(nodes=1), "nasbench201": Nasbench201Space()}


def batch(images=4):
    draw = torch.Generator().manual_seed(0)
    return torch.rand(images, 1, 8, 8, generator=draw).double(), torch.arange(images) % 3


def searched(space, implementation, strategy=None, dtype=torch.float64):
    """A network in training mode whose running statistics are far from its images'."""
    torch.manual_seed(0)
    supernet = SPACES[space].supernet((1, 8, 8), 3, cells=3 if space == "darts" else 1, channels=4)
    draw = torch.Generator().manual_seed(1)
    model = RelaxedSupernet(supernet, (strategy or Darts(init_scale=0.5)).initial(SPACES[space], draw)).to(dtype)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(generator=draw)
    use_implementation(model, implementation)
    return model


def looked_at(model, x):
    """Logits in training mode, by the batch's own statistics, without moving the running ones."""
    return copy.deepcopy(model)(x)


def sign_step(model, found, x, size, loss):
    """One step up the loss in the images, back into the l_inf ball and into [0, 1]."""
    found = found.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(looked_at(model, found)), found)
    return torch.clamp((found + size * gradient.sign()).clamp(x - EPS, x + EPS), 0, 1).detach()


def of_fast(model, x, y, draw):
    found = sign_step(
        model, uniform_start(x, "linf", EPS, draw), x, 1.25 * EPS, lambda z: F.cross_entropy(z, y, reduction="sum")
    )
    return F.cross_entropy(model(found), y)


def of_pgd(model, x, y, draw):
    found = uniform_start(x, "linf", EPS, draw)
    for _ in range(2):
        found = sign_step(model, found, x, 2.5 * EPS / 2, lambda z: F.cross_entropy(z, y, reduction="sum"))
    return F.cross_entropy(model(found), y)


def of_trades(model, x, y, draw):
    clean = looked_at(model, x).softmax(1).detach()
    found = (x + 0.001 * torch.randn(x.shape, generator=draw, dtype=x.dtype)).clamp(x - EPS, x + EPS).clamp(0, 1)
    for _ in range(2):
        found = sign_step(model, found, x, 2.5 * EPS / 2, lambda z: (clean * (clean.log() - z.log_softmax(1))).sum())
    logits = model(x)
    p = logits.softmax(1)
    divergence = (p * (p.log() - model(found).log_softmax(1))).sum(1).mean()
    return F.cross_entropy(logits, y) + 6 * divergence


OBJECTIVES = {
    "standard": (Standard(THREAT), lambda model, x, y, draw: F.cross_entropy(model(x), y)),
    "fast": (FastAdversarial(THREAT, batch_norm="batch"), of_fast),
    "pgd": (Adversarial(THREAT, steps=2, batch_norm="batch"), of_pgd),
    "trades": (Trades(THREAT, steps=2, batch_norm="batch"), of_trades),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "space", "implementation"),
    [
        *(
            ("fast", space, implementation)
            for space in SPACES
            for implementation in ("reference", "batched", "compiled")
        ),
        *((name, "nasbench201", "compiled") for name in ("standard", "pgd", "trades")),
    ],
)
def test_the_attack_sees_the_network_that_the_loss_is_of(name, space, implementation):
    """Loss, gradients in weights and alphas, and what is left behind, against loops written by hand."""
    objective, by_hand = OBJECTIVES[name]
    model, reference, (x, y) = searched(space, implementation), searched(space, "reference"), batch()
    result = objective(model, x, y, torch.Generator().manual_seed(2))
    expected = by_hand(reference, x, y, torch.Generator().manual_seed(2))
    torch.testing.assert_close(result.loss, expected)
    for found, gradient in zip(
        torch.autograd.grad(result.loss, list(model.parameters()), allow_unused=True),
        torch.autograd.grad(expected, list(reference.parameters()), allow_unused=True),
        strict=True,
    ):
        torch.testing.assert_close(found, gradient)
    left = reference.state_dict()
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, left[key], msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ibp", thorough("crown_ibp")])
def test_bounds_are_of_the_supernet_that_normalises_by_its_batch(engine):
    """They hold for every point of the ball, and reach every alpha; the kernels leave them to the modules."""
    objective = Certified(Threat("linf", 0.001), engine=engine, ramp_begin=0, ramp_end=0, kappa_end=1.0, beta_end=1.0)
    (x, y), losses = batch(6), []
    for implementation in ("reference", "compiled"):
        model = searched("darts", implementation)
        objective.initialise(model)
        result = objective(model, x, y)
        losses.append((result.loss, torch.autograd.grad(result.loss, list(model.architecture.parameters()))))
    torch.testing.assert_close(losses[1], losses[0])
    (model.supernet.classifier.bias).data.zero_()
    with noting_batch_statistics(model) as statistics, torch.no_grad():
        model(x)
    seen = SeenBatch(model, y, statistics, objective.engines, None, None)
    with torch.no_grad():
        lower = seen.margins(x, 0.001, engine)
        with normalising_by(statistics), evaluation_mode(model):
            for corner in (-1, 1):
                found = all_margins(model((x + 0.001 * corner).clamp(0, 1)), y)
                assert bool((found >= lower).all())
                assert bool((found - lower < 0.5 * (found.abs().max() + 1)).any()), "vacuous bounds hold always"


@pytest.mark.parametrize("name", ["fast", "pgd", "trades"])
def test_by_running_statistics_another_network_would_be_attacked(name):
    """Why a search's attacks see the batch's: where the running ones lag, the loss comes out lower."""
    objective, _ = OBJECTIVES[name]
    x, y = batch(32)
    losses = {}
    for statistics in ("running", "batch"):
        other = copy.deepcopy(objective)
        other.batch_norm = statistics
        model = searched("nasbench201", "reference")
        losses[statistics] = float(other(model, x, y, torch.Generator().manual_seed(2)).loss.detach())
    assert losses["batch"] > losses["running"] + 0.02


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "space", "strategy"),
    [
        ("standard", "nasbench201", Darts()),
        ("fast", "nasbench201", Darts()),
        ("fast", "darts", Gdas()),
        ("pgd", "darts", Gdas()),
        ("trades", "nasbench201", Darts()),
        thorough("standard", "darts", Gdas()),
        thorough("pgd", "nasbench201", Darts()),
        thorough("trades", "darts", Gdas()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_objective_searches(search_stage, tmp_path, name, space, strategy):
    """Both kinds of steps; accuracies are those under attack where there is one, and alphas and weights move."""
    objective, _ = OBJECTIVES[name]
    stage = search_stage(
        tmp_path, space=SPACES[space], strategy=strategy, metric=False, warmup=0, epochs=1, train_batches=2,
        weights_objective=objective, architecture_objective=objective,
    )  # fmt: skip
    before = copy.deepcopy(stage.module.model.state_dict())
    stage.run()
    after = stage.module.model.state_dict()
    stem = next(key for key in before if key.startswith("supernet.stem") and key.endswith("weight"))
    for key in (stem, f"architecture.alphas.{SPACES[space].cell_types[0]}"):
        assert not torch.equal(after[key], before[key]), f"{key} has not moved"
    (record,) = stage.folder.read_metrics()
    assert ("search/train/acc_adv" in record) == (name != "standard")


def test_a_fault_among_batch_mates_is_still_found_in_its_layer():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(4), *list(faulty_network("nan gradient"))[1:])
    x, y = torch.rand(4, 4, 1, 1, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])
    with pytest.raises(NonFiniteError, match=r"`2` \(.*\)|Faulty"):
        FGSM("linf", 0.1, batch_norm="batch")(model.double(), x.double(), y)


@pytest.mark.slow
@pytest.mark.parametrize("metric", [LossGradient(), LocalRadius(eps=0.1), Curvature()], ids=lambda m: type(m).__name__)
@pytest.mark.parametrize(("space", "implementation"), [("darts", "batched"), ("nasbench201", "compiled")])
def test_metrics_have_one_gradient_in_the_alphas_whatever_computes_the_edges(metric, space, implementation):
    found, (x, y) = [], batch()
    for kind in ("reference", implementation):
        model = searched(space, kind)
        scores = metric(model, x, y)
        found.append((scores, torch.autograd.grad(scores.mean(), list(model.architecture.parameters()))))
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-9)
