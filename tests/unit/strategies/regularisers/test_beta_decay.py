"""Beta-decay against its formula."""

import math

import pytest
import torch

from dsrna.errors import ConfigError
from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.architecture import Architecture
from dsrna.strategies.darts import Darts
from dsrna.strategies.gaea import Gaea
from dsrna.strategies.regularisers.beta_decay import BetaDecay
from dsrna.strategies.search_step import SearchStep

SPACE = DartsSpace(nodes=2)


def step(progress):
    return SearchStep("architecture", progress, torch.Generator(), lambda weights: torch.zeros(()))


@pytest.mark.parametrize("progress", [0.0, 0.25, 0.9])
def test_penalty(progress):
    architecture = Darts(init_scale=1.0).initial(SPACE, torch.Generator().manual_seed(0)).double()
    decay = BetaDecay(weight=2.0)
    decay.prepare(SPACE, None, architecture)
    decay.begin_step(step(progress), architecture())
    rows = [row for alphas in architecture.alphas.values() for row in alphas.tolist()]
    expected = 2.0 * progress * sum(math.log(sum(math.exp(a) for a in row)) for row in rows) / len(rows)
    penalty = decay.penalty(architecture)
    assert penalty.item() == pytest.approx(expected)
    gradients = torch.autograd.grad(penalty, list(architecture.alphas.values()))
    for gradient, alphas in zip(gradients, architecture.alphas.values(), strict=True):
        torch.testing.assert_close(gradient, 2.0 * progress * alphas.detach().softmax(1) / len(rows))


def test_it_needs_alphas():
    class Other(Architecture):
        def forward(self):
            return {}

    with pytest.raises(ConfigError, match="beta_decay acts on an alpha for each operation of each edge, and Other"):
        BetaDecay().check(SPACE, Other())


def test_it_needs_logits():
    message = "acts on the logits of a softmax, and the alphas of GaeaArchitecture are the logarithms of probabilities"
    with pytest.raises(ConfigError, match=message):
        BetaDecay().check(SPACE, Gaea().initial(SPACE))


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_weights_are_finite_and_not_negative(weight):
    with pytest.raises(ConfigError, match="`weight` >= 0"):
        BetaDecay(weight)
