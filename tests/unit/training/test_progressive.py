"""Searches in stages: what is kept, in which supernet they go on, and how they end."""

import pytest
import torch

from dsrna.errors import ConfigError
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.darts import Darts
from dsrna.strategies.drnas import Drnas
from dsrna.strategies.gdas import Gdas
from dsrna.strategies.schedules.base import SearchSchedule
from dsrna.strategies.schedules.progressive import Progressive

QUICK = {"metric": False, "entropy_weight": 0}


class Watch(SearchSchedule):
    """Notes what each epoch begins with, and which epochs have architecture steps."""

    def __init__(self):
        self.supernets, self.alphas, self.searching = [], [], []

    def begin_epoch(self, search):
        self.supernets.append(search.supernet)
        self.alphas.append({name: alphas.detach().clone() for name, alphas in search.architecture.alphas.items()})

    def end_epoch(self, search, searching):
        self.searching.append(searching)
        return {}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [Darts(init_scale=0.5), Gdas(init_scale=0.5), Drnas(init_scale=0.5)])
def test_the_best_operations_of_every_edge_are_kept(search_stage, tmp_path, strategy):
    stage = search_stage(
        tmp_path, epochs=6, warmup=0, strategy=strategy, schedules=[Progressive([0.33, 0.67], [3, 2])], **QUICK
    )
    stage.run()
    history = stage.module.history.epochs
    for epoch, count in ((2, 3), (4, 2)):
        for cell_type in ("normal", "reduce"):
            before, after = (history[number]["weights"][cell_type]["operations"] for number in (epoch - 1, epoch))
            for old, new in zip(before, after, strict=True):
                best = sorted(range(4), key=lambda operation: -old[operation])[:count]
                assert [operation for operation in range(4) if new[operation] > 0] == sorted(best)
                assert sum(new) == pytest.approx(1)
        said = f"Stage {1 + epoch // 2} begins: {count} operations of every edge are kept."
        assert said in history[epoch]["events"]
    assert sum("begins" in event for entry in history for event in entry.get("events", [])) == 2


@pytest.mark.slow
def test_a_stage_in_another_supernet(search_stage, tmp_path):
    """Deeper, with more channels through the operations, its own warm-up, and the alphas of the beginning."""
    watch = Watch()
    progressive = Progressive([0.5], [2], cells=[4], partial_channels=[1], warmup=0.34, restart_alphas=True)
    stage = search_stage(tmp_path, epochs=6, warmup=1, schedules=[progressive, watch], **QUICK)
    stage.run()
    module = stage.module
    assert [len(supernet.cells) for supernet in watch.supernets] == [3, 3, 3, 4, 4, 4]
    assert [supernet.partial_channels for supernet in watch.supernets] == [2, 2, 2, 1, 1, 1]
    assert module.model.supernet is watch.supernets[-1]
    assert watch.searching == [False, True, True, False, True, True]
    for name, first in watch.alphas[0].items():
        assert torch.equal(watch.alphas[3][name], first)
        assert not torch.equal(watch.alphas[2][name], first)
        assert torch.equal(watch.alphas[4][name], first)  # no step in the warm-up of the stage
    (group,) = module.weights_optimizer().param_groups
    assert {id(p) for p in group["params"]} == {id(p) for p in module.model.supernet.parameters()}
    fresh = module.scheduled._make_supernet(1, cells=4, partial_channels=1)
    moved = [
        not torch.equal(parameter, dict(fresh.named_parameters())[name])
        for name, parameter in module.model.supernet.named_parameters()
    ]
    assert all(moved)
    assert "cells 4, partial_channels 1" in module.history.epochs[3]["events"][1]


@pytest.mark.parametrize(("most", "left"), [(None, 2), (2, 2), (1, 1), (0, 0)])
def test_skip_connections_above_the_limit_are_dropped_in_the_end_the_weakest_first(search_stage, tmp_path, most, left):
    stage = search_stage(
        tmp_path, epochs=2, warmup=0, strategy=Darts(), schedules=[Progressive([0.5], [2], skips=most)], **QUICK
    )
    alphas = stage.module.model.architecture.alphas
    with torch.no_grad():
        alphas["normal"][:] = torch.tensor([[0.0, 1.0, 4.0, 2.0], [0.0, 1.0, 3.0, 2.0]])
        alphas["reduce"][:, 2] = 5.0
    stage.run()
    first, last = stage.module.history.epochs
    assert first["operation_counts"]["normal"] == {"skip_connect": 2}
    assert last["operation_counts"]["normal"].get("skip_connect", 0) == left
    assert last["operation_counts"]["reduce"] == {"skip_connect": 2}
    if left == 1:
        assert [row[2] > 0 for row in last["weights"]["normal"]["operations"]] == [True, False]


DARTS, NASBENCH201 = DartsSpace(), Nasbench201Space()


@pytest.mark.parametrize(
    ("space", "arguments", "message"),
    [
        (NASBENCH201, {"operations": [5]}, "fewer than the space's 5 operations, got 5"),
        (DARTS, {"operations": [1]}, "may be none, which no derived cell of this space has"),
        (DARTS, {"at": [0.1]}, "of 10 epochs, the warm-up takes 2, and the later stages begin after"),
    ],
)
def test_what_makes_no_sense_is_refused(space, arguments, message):
    schedule = Progressive(**({"at": [0.5], "operations": [3]} | arguments))
    with pytest.raises(ConfigError, match=message):
        schedule.check(space, Darts().initial(space), 2, 10)


def test_what_makes_sense_is_not():
    Progressive([0.5], [1]).check(NASBENCH201, Darts().initial(NASBENCH201), 2, 10)
    Progressive([0.5], [2]).check(DARTS, Darts().initial(DARTS), 2, 10)


@pytest.mark.parametrize(
    "wrong",
    [
        {"at": [0.0]}, {"at": [0.6, 0.5], "operations": [3, 2]}, {"operations": [3, 2]}, {"operations": [0]},
        {"at": [0.2, 0.5], "operations": [2, 3]}, {"cells": [5, 6]}, {"partial_channels": [0]}, {"warmup": 1.0},
        {"skips": -1},
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="Expected"):
        Progressive(**({"at": [0.5], "operations": [3]} | wrong))
