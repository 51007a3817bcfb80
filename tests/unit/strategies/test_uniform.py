"""Uniform paths: all equally likely, of which nothing is learnt."""

import pytest
import torch

from dsrna.config.compose import compose
from dsrna.config.validate import validated
from dsrna.errors import ConfigError
from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.uniform import Uniform


@pytest.mark.slow
def test_every_operation_of_an_edge_is_drawn_equally_often():
    space = DartsSpace(nodes=1)
    architecture = Uniform().initial(space, torch.Generator().manual_seed(0))
    draws, counts = 4000, torch.zeros(2, 8)
    for step in range(draws):
        architecture.begin_step(0.99, torch.Generator().manual_seed(step))
        weights = architecture()["normal"].operations
        assert set(weights.flatten().tolist()) <= {0.0, 1.0}
        counts += weights.detach()
    assert counts.sum(dim=1).tolist() == [draws, draws]
    spread = (draws * 1 / 8 * 7 / 8) ** 0.5
    assert (counts - draws / 8).abs().max() < 4 * spread


def test_its_argmax_cells_are_random_ones():
    space = DartsSpace()
    cells = {space.derive(Uniform().initial(space, torch.Generator().manual_seed(n)).expected()) for n in range(5)}
    assert len(cells) == 5


def test_a_metric_that_nothing_moves_along_is_refused():
    with pytest.raises(ConfigError, match=r"takes no architecture steps.*metric=none"):
        validated(compose("search", ["strategy=uniform", "metric=jacobian"]))
