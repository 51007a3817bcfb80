"""The zero-one loss against its formula."""

import pytest
import torch

from dsrna.errors import ConfigError
from dsrna.strategies.regularisers.zero_one import ZeroOne


@pytest.mark.parametrize("space", ["darts", "nasbench201"])
def test_penalty(relaxed, space):
    _, model = relaxed(space, [ZeroOne(3.0)])
    architecture = model.architecture
    values = [w for cell in architecture.expected().values() for row in cell.operations.tolist() for w in row]
    penalty = model.regularisers[0].penalty(architecture)
    assert penalty.item() == pytest.approx(-3.0 * sum((w - 0.5) ** 2 for w in values) / len(values))


def test_descending_it_makes_weights_certain(relaxed):
    _, model = relaxed("nasbench201", [ZeroOne()])
    architecture = model.architecture
    before = architecture.entropy().item()
    optimizer = torch.optim.SGD(architecture.parameters(), lr=1.0)
    for _ in range(50):
        optimizer.zero_grad()
        model.regularisers[0].penalty(architecture).backward()
        optimizer.step()
    assert architecture.entropy().item() < before / 2


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_weights_are_finite_and_not_negative(weight):
    with pytest.raises(ConfigError, match="`weight` >= 0"):
        ZeroOne(weight)
