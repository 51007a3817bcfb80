"""SNAS and FairDARTS against their formulas."""

import pytest
import torch

from dsrna.errors import ConfigError
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.entropy import operation_entropy
from dsrna.strategies.fair import Fair
from dsrna.strategies.gumbel import gumbel_noise
from dsrna.strategies.snas import Snas

SPACE = Nasbench201Space()
VALUES = torch.rand(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def architecture(strategy):
    made = strategy.initial(SPACE, torch.Generator().manual_seed(0)).double()
    return made, made.alphas["cell"]


@pytest.mark.parametrize("progress", [0.0, 0.25, 0.99])
def test_snas_is_the_concrete_distribution(progress):
    made, alphas = architecture(Snas(init_scale=1.0))
    made.begin_step(progress, torch.Generator().manual_seed(3))
    tau = 1.0 + (0.03 - 1.0) * progress
    p = alphas.exp() / alphas.exp().sum(1, keepdim=True)
    powers = (p * gumbel_noise(alphas, torch.Generator().manual_seed(3)).exp()) ** (1 / tau)
    expected = powers / powers.sum(1, keepdim=True)
    found = made()["cell"].operations
    torch.testing.assert_close(found, expected)
    slopes = [torch.autograd.grad((weights * VALUES).sum(), alphas)[0] for weights in (found, expected)]
    torch.testing.assert_close(*slopes)
    torch.testing.assert_close(made.expected()["cell"].operations, p)


def test_snas_picks_operations_by_their_probabilities_as_it_cools():
    made, alphas = architecture(Snas(init_scale=1.0, temperature_start=1e-3, temperature_end=1e-3))
    rounds, total = 4000, torch.zeros(6, 5, dtype=torch.float64)
    with torch.no_grad():
        for number in range(rounds):
            made.begin_step(0.0, torch.Generator().manual_seed(number))
            total += made()["cell"].operations / rounds
    chances = alphas.detach().softmax(1)
    assert float(((total - chances).abs() / (chances * (1 - chances) / rounds).sqrt()).max()) < 4.5


@pytest.mark.parametrize("arguments", [{"temperature_start": 0.0}, {"temperature_end": float("nan")}])
def test_temperatures_are_positive(arguments):
    with pytest.raises(ConfigError, match="> 0"):
        Snas(**arguments)


def test_fair_weights_are_sigmoids_that_do_not_compete():
    made, alphas = architecture(Fair(init_scale=1.0))
    made.begin_step(0.5, torch.Generator())
    for weights in (made()["cell"].operations, made.expected()["cell"].operations):
        torch.testing.assert_close(weights, 1 / (1 + (-alphas).exp()))
        (slope,) = torch.autograd.grad((weights * VALUES).sum(), alphas)
        torch.testing.assert_close(slope, VALUES * (weights * (1 - weights)).detach())


def test_entropy_is_that_of_the_shares():
    weights = torch.tensor([[0.2, 0.2], [0.0, 0.9], [0.3, 0.1]])
    shares = torch.tensor([0.75, 0.25])
    expected = (torch.tensor(2.0).log() + 0 - (shares * shares.log()).sum()) / 3
    torch.testing.assert_close(operation_entropy(weights), expected)
