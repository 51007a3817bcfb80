"""Operations that are trained no more: which, when, and what of them goes on."""

from itertools import pairwise

import pytest
import torch

from dsrna.errors import ConfigError
from dsrna.strategies.schedules.base import SearchSchedule
from dsrna.strategies.schedules.freezing import Freezing
from dsrna.strategies.unrolled import Unrolled


class Watch(SearchSchedule):
    """Takes the cosines by itself, one operation at a time, before :class:`Freezing` looks."""

    def __init__(self):
        self.cosines, self.states = [], []

    def before_weight_step(self, search):
        weights = search.architecture()
        found = {}
        for name, operation in search.supernet.named_modules():
            parent, _, _ = name.rpartition(".")
            if not parent.endswith("operations") or not list(operation.parameters()):
                continue
            flags = [p.requires_grad for p in operation.parameters()]
            operation.requires_grad_(True)
            sides = []
            for loss in (search.training_loss(weights), search.validation_loss(weights)):
                gradients = torch.autograd.grad(loss, list(operation.parameters()))
                sides.append(torch.cat([gradient.flatten() for gradient in gradients]))
            found[name] = float(torch.nn.functional.cosine_similarity(*sides, dim=0))
            for parameter, flag in zip(operation.parameters(), flags, strict=True):
                parameter.requires_grad_(flag)
        self.cosines.append(found)
        self.states.append({name: value.clone() for name, value in search.supernet.state_dict().items()})


def textbook(cosines, threshold, steps):
    """Operation -> the number of batches after which it is frozen."""
    frozen = {}
    for name in cosines[0]:
        for start in range(0, len(cosines) - steps + 1, steps):
            window = [of_step[name] for of_step in cosines[start : start + steps]]
            if sum(window) / steps < threshold:
                frozen[name] = start + steps
                break
    return frozen


@pytest.mark.slow
@pytest.mark.parametrize("unrolled", [False, True])
def test_disagreeing_operations_stay_as_they_are(search_stage, tmp_path, unrolled):
    watch, threshold, steps = Watch(), -0.25, 2
    stage = search_stage(
        tmp_path, epochs=3, warmup=0, metric=False, lr=0.05, weights_decay=0.01, dtype=torch.float64,
        schedules=[watch, Freezing(threshold, steps)], hypergradient=Unrolled() if unrolled else None,
    )  # fmt: skip
    stage.run(precision="64-true")
    frozen = textbook(watch.cosines, threshold, steps)
    assert 0 < len(frozen) < len(watch.cosines[0])
    assert len(set(frozen.values())) > 1
    states = [*watch.states, stage.module.model.supernet.state_dict()]
    for operation in watch.cosines[0]:
        for name in states[0]:
            if not name.startswith(f"{operation}."):
                continue
            for step, (before, after) in enumerate(pairwise(states)):
                stays = "running" not in name and "num_batches" not in name and step + 1 >= frozen.get(operation, 99)
                assert torch.equal(before[name], after[name]) == stays, (name, step)
    logged = [record["search/arch/frozen_operations"] for record in stage.folder.read_metrics()]
    assert logged == [sum(when <= 3 * (epoch + 1) for when in frozen.values()) for epoch in range(3)]
    events = " ".join(event for entry in stage.module.history.epochs for event in entry.get("events", []))
    assert all(name in events for name in frozen)


@pytest.mark.parametrize("wrong", [{"threshold": 1.0}, {"threshold": float("nan")}, {"steps": 0}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"`{next(iter(wrong))}`"):
        Freezing(**wrong)
