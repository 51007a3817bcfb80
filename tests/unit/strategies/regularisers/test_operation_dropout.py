"""Operation dropout: how often, of what, when, and that the mean stays."""

import pytest
import torch

from dsrna.errors import ConfigError
from dsrna.strategies.regularisers.operation_dropout import OperationDropout


def factors(model, step_of, kind, progress, seed):
    """Weights after over weights before, of all cells (E, O)."""
    model.begin_step(step_of(model, kind, progress, seed=seed))
    before, after = model.architecture(), model.operation_weights()
    return torch.cat([after[name].operations / before[name].operations for name in before]).detach()


@pytest.mark.parametrize(("progress", "rate"), [(0.0, 0.6), (0.5, 0.4)])
@pytest.mark.parametrize("operations", [None, ["skip_connect"]])
def test_each_operation_of_each_edge_is_dropped_by_itself_and_the_mean_stays(
    relaxed, step_of, operations, progress, rate
):
    space, model = relaxed("darts", [OperationDropout(0.6, 0.2, operations)])
    drawn = torch.stack([factors(model, step_of, "weights", progress, seed) for seed in range(400)])
    may = torch.tensor([operations is None or name in operations for name in space.primitives])
    assert bool((drawn[:, :, ~may] == 1).all())
    of_these = drawn[:, :, may]
    assert set(of_these.unique().numpy().round(6)) == {0.0, round(1 / (1 - rate), 6)}
    assert float((of_these == 0).double().mean()) == pytest.approx(rate, abs=0.03)
    assert float(of_these.mean()) == pytest.approx(1.0, abs=0.05)
    columns = (of_these == 0).double().flatten(1)
    off_diagonal = torch.corrcoef(columns.T) - torch.eye(columns.shape[1])
    assert float(off_diagonal.abs().max()) < 0.3  # neither edges nor cell types share a draw


def test_architecture_steps_see_every_operation(relaxed, step_of):
    _, model = relaxed("darts", [OperationDropout(0.6, 0.6)])
    factors(model, step_of, "weights", 0.0, 0)
    assert bool((factors(model, step_of, "architecture", 0.0, 0) == 1).all())


def test_the_draw_is_the_steps(relaxed, step_of):
    _, model = relaxed("darts", [OperationDropout(0.5, 0.5)])
    first, again, other = (factors(model, step_of, "weights", 0.0, seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_unknown_operations_are_refused(relaxed):
    with pytest.raises(ConfigError, match="unknown operation 'skip'; choose from none"):
        relaxed("darts", [OperationDropout(operations=["skip"])])


@pytest.mark.parametrize(("start", "end"), [(1.0, 0.0), (0.0, -0.1), (float("nan"), 0.0), (0.0, 0.0)])
def test_rates_are_shares(start, end):
    with pytest.raises(ConfigError, match="rate"):
        OperationDropout(start, end)
