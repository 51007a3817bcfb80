"""A network whose logits are all multiplied by a number has the same decisions, and gets the same attack."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dsrna.attacks import PGD
from dsrna.testing.attack_conformance import tiny_classifier
from tests.thorough import examples


class Scaled(nn.Module):
    def __init__(self, model, factor):
        super().__init__()
        self.model, self.factor = model, factor

    def forward(self, x):
        return self.factor * self.model(x)


def batch(seed):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(6, 2, 6, 6, generator=draw), torch.randint(3, (6,), generator=draw)


def attacked(model, attack, x, y):
    return attack(model, x, y, torch.Generator().manual_seed(0))


@pytest.mark.slow
@examples(20)
@given(seed=st.integers(0, 1000), power=st.integers(-100, 100), norm=st.sampled_from(["linf", "l2"]))
def test_the_margin_attack_takes_the_same_steps_at_every_scale(seed, power, norm):
    """2^-100 to 2^100, about 1e-30 to 1e30: powers of two, so that to the last bit."""
    model, (x, y) = tiny_classifier(seed=seed), batch(seed)
    attack = PGD(norm, {"linf": 0.1, "l2": 0.8}[norm], steps=3, restarts=2, loss="margin")
    assert torch.equal(attacked(Scaled(model, 2.0**power), attack, x, y), attacked(model, attack, x, y))


@examples(8)
@given(seed=st.integers(0, 1000), scale=st.floats(-30, -6), norm=st.sampled_from(["linf", "l2"]))
def test_the_cross_entropy_of_small_logits_is_linear_in_their_scale(seed, scale, norm):
    """So its gradient has one direction at 1e-30 and at 1e-6, where all classes have a probability of 1/K."""
    (x, y) = batch(seed)
    weight = torch.randn(3, 72, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = []
    for factor in (1e-6, 10.0**scale):
        model = nn.Sequential(nn.Flatten(), nn.Linear(72, 3, bias=False)).double()
        with torch.no_grad():
            model[1].weight.copy_(factor * weight)
        attack = PGD(norm, {"linf": 0.1, "l2": 0.8}[norm], steps=3)
        found.append(attacked(model.float() if norm == "l2" else model, attack, x.to(model[1].weight.dtype), y))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-16, 1e-30])
def test_l2_attack_breaks_a_linear_network_of_tiny_weights(scale):
    """Two classes, grey images: broken where eps times the length of the weights exceeds the margin, at every scale."""
    draw = torch.Generator().manual_seed(0)
    row = torch.randn(72, generator=draw)
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 2, bias=False))
    with torch.no_grad():
        model[1].weight.copy_(scale * torch.stack([row, -row]))
    x = 0.4 + 0.2 * torch.rand(40, 2, 6, 6, generator=draw)
    y = model(x).argmax(1)
    distance = (x.flatten(1) @ row).abs() / row.norm()  # each row holds half of the margin
    eps = float(distance.median()) * 1.0001
    found = PGD("l2", eps, steps=5, random_start=False)(model, x, y)
    assert torch.equal(model(found).argmax(1) != y, distance < eps)
