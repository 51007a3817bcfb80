"""Adversarial weight perturbation against the loop of its released code, written by hand."""

import copy

import pytest
import torch
import torch.nn.functional as F

from dsrna.config.objectives import search_objective
from dsrna.errors import ConfigError
from dsrna.objectives.adversarial import Adversarial
from dsrna.objectives.fast import FastAdversarial
from dsrna.objectives.mart import Mart
from dsrna.objectives.trades import Trades
from dsrna.testing.attack_conformance import tiny_classifier
from dsrna.training.weight_perturbation import perturbed
from dsrna.types import Threat

GAMMA, LR, THREAT = 0.2, 0.05, Threat("linf", 0.1)


def layers():
    draw = torch.Generator().manual_seed(0)
    shapes = [(4, 3, 3, 3), (5, 4), (4,), (2, 2), (3, 2)]
    weights = [torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes]
    gradients = [torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes]
    gradients[1] *= 1e-200  # its square is 0
    return weights, [*gradients[:3], torch.zeros(2, 2, dtype=torch.float64), None]


def test_every_layer_moves_uphill_by_a_share_of_its_norm():
    weights, gradients = layers()
    before = [weight.clone() for weight in weights]
    with perturbed(weights, gradients, GAMMA):
        moves = [weight - was for weight, was in zip(weights, before, strict=True)]
    for move, was, gradient in zip(moves[:2], before, gradients, strict=False):
        assert move.norm() == pytest.approx(GAMMA * was.norm().item())
        scaled = gradient / gradient.abs().max()
        assert (move * scaled).sum() == pytest.approx((move.norm() * scaled.norm()).item())
    assert [move.abs().sum().item() for move in moves[2:]] == [0, 0, 0], "vectors, and what has no gradient"


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_weights_are_what_they_were_to_the_bit_after_errors_too(error):
    weights, gradients = layers()
    before = [weight.clone() for weight in weights]
    try:
        with perturbed(weights, gradients, GAMMA):
            assert not torch.equal(weights[0], before[0])
            if error is not None:
                raise error
    except KeyboardInterrupt:
        pass
    assert all(torch.equal(weight, was) for weight, was in zip(weights, before, strict=True))


def cross_entropy(network, x, y, examples):
    return F.cross_entropy(network(examples), y)


def trades(network, x, y, examples):
    clean, attacked = network(x), network(examples)
    divergence = F.kl_div(attacked.log_softmax(1), clean.softmax(1), reduction="batchmean")
    return F.cross_entropy(clean, y) + 3.0 * divergence


def by_hand(network, train, objective, loss_of):
    """A proxy takes a step against the loss; the network goes where that points, takes the gradient and comes back."""
    weights = dict(network.named_parameters())
    sgd = torch.optim.SGD(weights.values(), lr=LR, momentum=0.9, weight_decay=3e-4)
    network.train()
    train.epoch = 0
    for x, y in train:
        x = x.double()
        examples = objective.attack(network, x, y, None)
        proxy = copy.deepcopy(network)
        of_proxy = torch.optim.SGD(proxy.parameters(), lr=0.01)
        (-loss_of(proxy, x, y, examples)).backward()
        of_proxy.step()
        moves = {}
        for name, moved in proxy.named_parameters():
            difference = moved.detach() - weights[name].detach()
            if difference.ndim > 1:
                moves[name] = GAMMA * weights[name].detach().norm() / (difference.norm() + 1e-20) * difference
        with torch.no_grad():
            for name, move in moves.items():
                weights[name] += move
        sgd.zero_grad()
        statistics = {name: value.clone() for name, value in network.named_buffers()}
        loss_of(network, x, y, examples).backward()
        with torch.no_grad():
            for name, value in network.named_buffers():
                value.copy_(statistics[name])
            for name, move in moves.items():
                weights[name] -= move
            loss_of(network, x, y, examples)  # statistics are those of the weights that stay
        sgd.step()


@pytest.mark.parametrize("kind", ["pgd", "trades"])
def test_training_is_the_published_loop(retrain_stage, tmp_path, kind):
    settings = {"steps": 1, "weight_perturbation": GAMMA, "auxiliary_weight": 0.0}
    if kind == "pgd":
        objective, loss_of = Adversarial(THREAT, random_start=False, **settings), cross_entropy
    else:
        objective, loss_of = Trades(THREAT, beta=3.0, **settings), trades
        objective.__class__ = type("Still", (Trades,), {"attack": property(lambda _: Still())})
    build = {"objective": objective, "epochs": 1, "schedule": None, "dtype": torch.float64, "drop_path": 0.0}
    stage, other = (retrain_stage(tmp_path / name, ema_decay=0.0, clip=0.0, **build) for name in ("run", "hand"))
    stage.run(precision="64-true")
    by_hand(other.module.network, other.train, objective, loss_of)
    for name, value in stage.module.network.state_dict().items():
        if value.is_floating_point():
            expected = other.module.network.state_dict()[name]
            torch.testing.assert_close(value, expected, rtol=1e-8, atol=1e-9, msg=name)


class Still:
    """An attack that needs no generator."""

    def __call__(self, model, x, y, generator):
        return (x + 0.1 * torch.ones_like(x).cumsum(-1).sin().sign()).clamp(0, 1)


@pytest.mark.parametrize("build", [Adversarial, FastAdversarial, Mart, Trades])
def test_it_goes_with_every_objective_that_attacks(build):
    model = tiny_classifier().double().eval()
    x, y = torch.rand(6, 2, 6, 6, generator=torch.Generator().manual_seed(0)).double(), torch.arange(6) % 3
    plain, other = build(THREAT), build(THREAT, weight_perturbation=0.01)
    results = [objective(model, x, y, torch.Generator().manual_seed(1)) for objective in (plain, other)]
    assert results[0].again is None
    assert results[1].again.gamma == 0.01
    torch.testing.assert_close(results[1].again.loss(), results[0].loss)
    assert torch.equal(results[0].inputs, results[1].inputs)
    assert other.title == f"{plain.title} with weight perturbation"


def test_it_begins_when_it_should():
    objective = Adversarial(THREAT, steps=1, weight_perturbation=0.01, perturbation_begin=0.5)
    model, x, y = tiny_classifier().eval(), torch.rand(3, 2, 6, 6), torch.arange(3)
    found = []
    for progress in (0.0, 0.49, 0.5, 0.9):
        objective.advance(progress)
        found.append(objective(model, x, y, torch.Generator().manual_seed(0)).again is not None)
    assert found == [False, False, True, True]


@pytest.mark.parametrize("bad", [{"weight_perturbation": -0.1}, {"perturbation_begin": 1.0}])
def test_what_is_out_of_range_is_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        FastAdversarial(THREAT, **bad)


def test_a_search_refuses_it():
    node = {"_target_": "dsrna.objectives.fast.FastAdversarial", "weight_perturbation": 0.01}
    with pytest.raises(ConfigError, match="not in searches"):
        search_objective(node, "search.weights_objective", THREAT)
