"""What regularisers make of operation weights is still weights."""

import pytest
import torch

from dsrna.errors import ConfigError
from dsrna.strategies.regularisers.base import Regulariser
from dsrna.types import CellWeights


class Shifted(Regulariser):
    """Takes so much off every operation weight, or, of the second kind, off the edge weights."""

    def __init__(self, operations=0.0, edges=0.0):
        self.operations, self.edges = operations, edges

    def reweighted(self, weights):
        """The same, lower."""
        return {
            name: CellWeights(cell.operations - self.operations, torch.full((len(cell.operations),), 1 - self.edges))
            for name, cell in weights.items()
        }


@pytest.mark.parametrize(("off", "says"), [({"operations": 3.0}, "got -2."), ({"edges": 1.5}, "got -0.5")])
def test_a_step_with_negative_weights_is_refused(relaxed, step_of, off, says):
    _, model = relaxed("darts", [Shifted(**off)])
    with pytest.raises(ConfigError, match=f"weights >= 0, {says}.* cell type normal"):
        model.begin_step(step_of(model, "weights", 0.5))


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_a_step_with_weights_of_zero_begins_and_what_is_not_finite_is_for_others_to_find(relaxed, step_of, value):
    _, model = relaxed("darts", [Shifted(edges=1 - value)])
    model.begin_step(step_of(model, "weights", 0.5))
    torch.testing.assert_close(
        model.operation_weights()["normal"].edges, torch.full((5,), value), equal_nan=True, check_dtype=False
    )
