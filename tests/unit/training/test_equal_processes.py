"""Processes that trained together are compared at the end of every epoch."""

import pytest
import torch
from torch import nn

from dsrna.distributed import group
from dsrna.errors import DistributedError
from dsrna.training.averages import Averages, merged
from dsrna.training.stage_module import StageModule


class Tiny(StageModule):
    def __init__(self, state=0):
        super().__init__(stage="search", seed=0, fingerprint="", epochs=1, schedule_interval="epoch")
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        self.optimizer, self.state = torch.optim.SGD(self.layer.parameters(), 0.1, momentum=0.9), state

    place = "search, epoch 1, step 1"

    def optimizers(self, use_pl_optimizer=True):
        return self.optimizer

    def extra_state(self):
        return {"state": self.state}


def step(module):
    module.layer(torch.eye(2)).square().sum().backward()
    module.optimizer.step()


def other_of(kind):
    """The second process's module, which differs in one thing, or in none."""
    module = Tiny(state=int(kind == "state of the metric"))
    step(module)
    if kind == "weights, alphas":
        module.layer[0].weight.data[0, 0] += 1e-7
    if kind == "BatchNorm statistics":
        module.layer[1].running_var += 1e-6
    if kind == "optimisers":
        module.optimizer.state[module.layer[0].weight]["momentum_buffer"] += 1e-6
    return module


@pytest.mark.parametrize("kind", [None, "weights, alphas", "BatchNorm statistics", "optimisers", "state of the metric"])
def test_processes_that_differ_are_refused(kind, monkeypatch):
    said = []
    monkeypatch.setattr(group, "size", lambda: 2)
    with monkeypatch.context() as listening:
        listening.setattr(group, "gathered", lambda value: said.append(value) or [value])
        other_of(kind)._check_that_all_are_equal()
    answers = iter(said)
    monkeypatch.setattr(group, "gathered", lambda value: [value, next(answers)])
    module = Tiny()
    step(module)
    if kind is None:
        module._check_that_all_are_equal()
        assert next(answers, None) is None, "all was compared"
    else:
        with pytest.raises(DistributedError, match=rf"{kind}.* differ after search, epoch 1.*trainer.devices=1"):
            module._check_that_all_are_equal()


def test_averages_of_all_processes_are_those_of_all_images():
    whole, parts = Averages(), [Averages(), Averages()]
    for number, (loss, count) in enumerate([(1.0, 3), (2.0, 5), (4.0, 1)]):
        for averages in (whole, parts[number % 2]):
            averages.add("loss", loss, count)
    parts[1].add("only here", 7.0, 2)
    whole.add("only here", 7.0, 2)
    together = Averages()
    together.load_state_dict(merged([each.state_dict() for each in parts]))
    assert together.means() == pytest.approx(whole.means())
    assert together.count("loss") == 9
