"""GDAS against its formulas and the frequencies of its draws."""

import pytest
import torch

from dsrna.errors import ConfigError
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.gdas import Gdas
from dsrna.strategies.gumbel import gumbel_noise

SPACE = Nasbench201Space()


def architecture(**arguments):
    made = Gdas(init_scale=1.0, **arguments).initial(SPACE, torch.Generator().manual_seed(0)).double()
    return made, made.alphas["cell"]


@pytest.mark.slow
def test_operations_are_drawn_with_the_softmax_of_their_alphas():
    made, alphas = architecture()
    rounds = 4000
    total = torch.zeros(6, 5, dtype=torch.float64)
    with torch.no_grad():
        for number in range(rounds):
            made.begin_step(0.5, torch.Generator().manual_seed(number))
            weights = made()["cell"].operations
            assert torch.equal(weights.round(), weights.round().clamp(0, 1))
            total += weights / rounds
    chances = alphas.detach().softmax(1)
    assert float(((total - chances).abs() / (chances * (1 - chances) / rounds).sqrt()).max()) < 4.5


@pytest.mark.parametrize("progress", [0.0, 0.25, 1.0])
def test_the_gradient_is_that_of_the_soft_sample_at_the_present_temperature(progress):
    made, alphas = architecture(temperature_start=8.0, temperature_end=0.5)
    made.begin_step(progress, torch.Generator().manual_seed(3))
    noise = gumbel_noise(alphas, torch.Generator().manual_seed(3))
    tau = 8.0 + (0.5 - 8.0) * progress
    soft = ((alphas - alphas.exp().sum(1, keepdim=True).log() + noise) / tau).exp()
    soft = soft / soft.sum(1, keepdim=True)
    values = torch.rand(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (expected,) = torch.autograd.grad((soft * values).sum(), alphas)
    weights = made()["cell"].operations
    (found,) = torch.autograd.grad((weights * values).sum(), alphas)
    torch.testing.assert_close(found, expected)
    assert torch.equal(weights.argmax(1), soft.argmax(1))
    torch.testing.assert_close(weights.max(1).values, torch.ones(6, dtype=torch.float64))


def test_gumbel_noise_has_its_mean_and_variance():
    noise = gumbel_noise(torch.zeros(200_000, dtype=torch.float64), torch.Generator().manual_seed(0))
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.02)
    assert noise.var().item() == pytest.approx(torch.pi**2 / 6, rel=0.02)


@pytest.mark.parametrize("arguments", [{"temperature_start": 0.0}, {"temperature_end": float("nan")}])
def test_temperatures_are_positive(arguments):
    with pytest.raises(ConfigError, match="> 0"):
        Gdas(**arguments)
