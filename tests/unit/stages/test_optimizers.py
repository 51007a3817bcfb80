import math
from itertools import product

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from dsrna.config.catalog import choices
from dsrna.config.compose import compose
from dsrna.errors import ConfigError
from dsrna.stages.optimizers import build_optimizer, build_schedule, interval_of
from tests.thorough import thorough

SGD = {"_target_": "torch.optim.SGD", "lr": 0.1, "momentum": 0.9}
COSINE = {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "T_max": "auto", "eta_min": 0.01}
ONE_CYCLE = {
    "_target_": "torch.optim.lr_scheduler.OneCycleLR",
    "max_lr": 0.1,
    "total_steps": "auto",
    "interval": "step",
}


def sgd(lr=0.1):
    return build_optimizer(SGD | {"lr": lr}, "retrain.optimizer", [nn.Parameter(torch.zeros(2))])


def rates(node, count, epochs, steps_per_epoch):
    """The learning rate of each of ``count`` intervals."""
    optimizer = sgd()
    schedule = build_schedule(node, "retrain.schedule", optimizer, epochs=epochs, steps_per_epoch=steps_per_epoch)
    found = []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_an_optimiser_has_the_nodes_settings_and_the_parameters_in_their_order():
    parameters = [nn.Parameter(torch.zeros(n)) for n in (1, 2, 3)]
    optimizer = build_optimizer(SGD, "retrain.optimizer", iter(parameters))
    assert isinstance(optimizer, torch.optim.SGD)
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in parameters]
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]) == (0.1, 0.9)


@pytest.mark.parametrize("more", [{}, {"nesterov": True}, {"dampening": 0.5}, {"momentum": 0.0}])
def test_a_weight_that_has_its_first_gradient_later_than_others_takes_the_same_steps_fused(more):
    """As one that was frozen, or lay on no path so far. torch's own fused SGD raises there."""
    found = {}
    for fused in (False, True):
        weights = [nn.Parameter(torch.tensor([value, -value], dtype=torch.float64)) for value in (1.0, 2.0, 3.0)]
        optimizer = build_optimizer(SGD | more | {"fused": fused}, "retrain.optimizer", weights)
        for step in range(6):
            for late, weight in enumerate(weights):
                weight.grad = (late + 1) * weight.detach().cos() if step >= 2 * late and step % 5 else None
            optimizer.step()
            assert optimizer.param_groups[0]["fused"] is fused
        found[fused] = weights
    torch.testing.assert_close(found[True], found[False], rtol=1e-12, atol=0)


def test_auto_cosine_goes_from_lr_to_eta_min_over_the_epochs():
    epochs = 7
    expected = [0.01 + (0.1 - 0.01) * (1 + math.cos(math.pi * t / epochs)) / 2 for t in range(epochs)]
    assert rates(COSINE, epochs, epochs, steps_per_epoch=5) == pytest.approx(expected)


def test_auto_cosine_by_steps_counts_steps():
    node = COSINE | {"interval": "step"}
    expected = [0.01 + (0.1 - 0.01) * (1 + math.cos(math.pi * t / 15)) / 2 for t in range(15)]
    assert rates(node, 15, epochs=3, steps_per_epoch=5) == pytest.approx(expected)


def test_auto_one_cycle_rises_for_three_tenths_and_ends_near_zero():
    """Smith and Topin's cycle as torch has it: from max_lr / 25 to max_lr at 30 % to max_lr / 250,000, by cosines."""
    epochs, steps = 4, 25
    total = epochs * steps
    found = rates(ONE_CYCLE, total, epochs, steps)
    top = 0.3 * total - 1

    def expected(step):
        low, high, share = (0.004, 0.1, step / top) if step <= top else (0.1, 4e-7, (step - top) / (total - 1 - top))
        return high + (low - high) * (1 + math.cos(math.pi * share)) / 2

    assert found == pytest.approx([expected(step) for step in range(total)], rel=1e-6, abs=1e-9)


OPTIMIZERS = [name for name in choices("optimizer") if name != "exponentiated_gradient"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schedule", "optimizer"),
    [  # one cycle moves an optimiser's momentum too, the others its rate alone
        row if row[0] == "one_cycle" or row[1] == "sgd" else thorough(*row)
        for row in product(choices("schedule"), OPTIMIZERS)
    ],
)
def test_every_optimiser_goes_with_every_schedule_which_starts_or_peaks_at_its_rate(optimizer, schedule):
    """A schedule has no learning rate of its own: one cycle in which `lr` had no say hid what was typed."""
    config = compose("search", [f"optimizer@retrain.optimizer={optimizer}", f"schedule@retrain.schedule={schedule}",
                                "retrain.optimizer.lr=0.123"])  # fmt: skip
    node = OmegaConf.to_container(config.retrain)
    made = build_optimizer(node["optimizer"], "retrain.optimizer", [nn.Parameter(torch.zeros(2))])
    epochs = 200 if "milestones" in node["schedule"] else 5
    moving = build_schedule(node["schedule"], "retrain.schedule", made, epochs=epochs, steps_per_epoch=4)
    rates = []
    for _ in range(4 * epochs if interval_of(node["schedule"]) == "step" else epochs):
        rates.append(made.param_groups[0]["lr"])
        made.step()
        moving.step()
    assert max(rates) == pytest.approx(0.123)
    assert rates[-1] < 0.2 * max(rates)


def test_no_node_is_no_schedule():
    assert build_schedule(None, "retrain.schedule", sgd(), epochs=3, steps_per_epoch=5) is None
    assert [interval_of(node) for node in (None, COSINE, ONE_CYCLE)] == ["epoch", "epoch", "step"]


def test_a_cycle_that_is_over_too_soon_is_refused():
    node = ONE_CYCLE | {"total_steps": 14}
    with pytest.raises(ConfigError, match=r"at least the stage's 15 .*write `auto`\. \(conf: retrain\.schedule\.total"):
        build_schedule(node, "retrain.schedule", sgd(), epochs=3, steps_per_epoch=5)
    assert build_schedule(node | {"total_steps": 15}, "x", sgd(), epochs=3, steps_per_epoch=5) is not None


def test_an_argument_that_is_null_is_left_out():
    """So that one schedule can take another one's place, whose arguments stay behind in a config."""
    over = COSINE | {"max_lr": None, "total_steps": None}
    assert rates(over, 5, 5, 3) == rates(COSINE, 5, 5, 3)
