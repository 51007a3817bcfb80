"""Attacks refuse a network whose numbers aren't finite, and name the image and the layer."""

import pytest
import torch
from torch import nn

from dsrna.attacks import FGSM, PGD, Attack, TradesAttack
from dsrna.errors import DataError, NonFiniteError, UnsupportedError
from dsrna.objectives import Adversarial, FastAdversarial, Trades
from dsrna.testing.tiny_networks import faulty_network
from dsrna.types import Threat

BAD = 2
"""The image of the batch at which the networks go wrong."""


def batch():
    x = 0.4 * torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(3))
    x[BAD, 0, 0, 0] = 0.7
    return x, torch.arange(5) % 3


def seeded():
    return torch.Generator().manual_seed(0)


ATTACKS = {
    "pgd": lambda norm: PGD(norm, 0.05, steps=3),
    "pgd-margin": lambda norm: PGD(norm, 0.05, steps=3, loss="margin"),
    "pgd-restarts": lambda norm: PGD(norm, 0.05, steps=3, restarts=2),
    "fgsm": lambda norm: FGSM(norm, 0.05),
    "trades": lambda norm: TradesAttack(norm, 0.05, steps=3),
}
FAULTS = ["nan gradient", "infinite gradient", "nan logits", "infinite logits"]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", ATTACKS)
def test_image_and_layer_are_named(name, norm, fault):
    model, (x, y) = faulty_network(fault), batch()
    where = rf"the {'backward' if 'gradient' in fault else 'forward'} pass of `1`"
    with pytest.raises(NonFiniteError, match=f"image {BAD} of the batch of 5.* {where}") as caught:
        ATTACKS[name](norm)(model, x, y, seeded())
    assert caught.value.image == BAD
    assert model.training
    kept = torch.arange(5) != BAD
    assert ATTACKS[name](norm)(model, x[kept], y[kept], seeded()).isfinite().all()


def test_a_gradient_that_is_nan_at_attacked_points_alone():
    """A brighter first pixel speaks against the class, so that the walk enters the bad region with its third pass."""
    model, (x, y) = faulty_network("nan gradient"), batch()
    x[BAD, 0, 0, 0] = 0.565
    with torch.no_grad():
        model[2].weight[y[BAD], 0] = -5
    attack = {"eps": 0.1, "step_size": 0.02, "random_start": False}
    assert PGD("linf", steps=2, **attack)(model, x, y)[BAD, 0, 0, 0] > 0.6
    with pytest.raises(NonFiniteError, match=rf"image {BAD} .*pass 3"):
        PGD("linf", steps=5, **attack)(model, x, y)


@pytest.mark.parametrize(
    "objective",
    [Adversarial(Threat("linf", 0.05), steps=2), FastAdversarial(Threat("linf", 0.05)), Trades(Threat("linf", 0.05))],
)
def test_adversarial_training_stops(objective):
    model, (x, y) = faulty_network("nan gradient"), batch()
    with pytest.raises(NonFiniteError, match=rf"image {BAD} .*`1` \(SqrtBackward0\)"):
        objective(model, x, y, seeded())


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_zero_gradients_are_no_error(norm):
    """Masking, not a fault: the masking checks have to see it."""
    model, (x, y) = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), batch()
    with torch.no_grad():
        model[1].weight.zero_()
    assert torch.equal(PGD(norm, 0.1, steps=3, random_start=False)(model, x, y), x)
    assert PGD(norm, 0.1, steps=3, restarts=2)(model, x, y, seeded()).isfinite().all()
    assert TradesAttack(norm, 0.1, steps=2)(model, x, y, seeded()).isfinite().all()


def test_an_attack_that_gives_nan_is_refused():
    class Lost(Attack):
        def perturb(self, model, x, y, generator):
            return torch.where(torch.arange(len(x))[:, None, None, None] == 1, torch.nan, x)

    with pytest.raises(NonFiniteError, match="image 1 of the batch of 5") as caught:
        Lost("linf", 0.1)(faulty_network("nan gradient"), *batch())
    assert caught.value.image == 1


@pytest.mark.parametrize(
    "answer", [lambda z: z.detach(), lambda z: z.round().detach() + torch.ones(5, 3), lambda z: torch.ones(5, 3)]
)
def test_logits_without_a_gradient_are_refused(answer):
    class Detached(nn.Module):
        def forward(self, x):
            return answer(x.flatten(1)[:, :3])

    with pytest.raises(UnsupportedError, match="black-box"):
        PGD("l2", 0.1, steps=1)(Detached(), *batch(), seeded())


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (torch.tensor([0, 1, 2, 3, 0]), "classes from 0 to 2, .* got classes from 0 to 3"),
        (torch.tensor([0, -1, 2, 1, 0]), "classes from -1 to 2"),
    ],
)
@pytest.mark.parametrize("loss", ["cross_entropy", "margin", "kl", "squared_error"])
def test_classes_that_the_network_does_not_have_are_refused(y, message, loss):
    with pytest.raises(DataError, match=message):
        PGD("linf", 0.1, loss=loss)(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), batch()[0], y, seeded())


@pytest.mark.parametrize("answer", [lambda z: z[:, :1], lambda z: z[0], lambda z: z[:2], lambda z: (z, None)])
def test_answers_that_are_no_logits_are_refused(answer):
    class Odd(nn.Module):
        def forward(self, x):
            return answer(x.flatten(1))

    with pytest.raises(DataError, match=r"logits \(5, K\) of at least 2 classes"):
        PGD("linf", 0.1)(Odd(), *batch(), seeded())
