"""What searches and trainings will cost: by hand from rehearsals whose times are known."""

import pytest
import torch

from dsrna.config.compose import compose_with_hydra
from dsrna.config.parts import build_part
from dsrna.config.validate import validated
from dsrna.distributed import leading
from dsrna.functional.multiply_adds import multiply_adds
from dsrna.functional.seeding import generator
from dsrna.runs.request import request_of
from dsrna.runs.sources import load_splits
from dsrna.spaces.genotype_source import read_genotype
from dsrna.stages import rehearsed, search_cost, training_cost
from dsrna.stages.rehearsed import Rehearsed
from dsrna.stages.retrain import describe
from dsrna.stages.stage_cost import CostRange
from dsrna.strategies.selection.sampling import distinct_cells, equal_weights
from dsrna.training.step_times import EpochTimes
from dsrna.training.trained_network import build_network

TINY = ["search.cells=3", "search.channels=2", "retrain.cells=1", "retrain.channels=2", "trainer.devices=2"]
MB = 1_000_000


@pytest.fixture(scope="module")
def of_digits(tmp_path_factory):
    """Settings of tiny stages, their request and images: halves of 610 and 611, 1221 of training, 216 of validation."""
    typed = [*TINY, "search.batch_size=60", "search.epochs=9", "search.warmup_epochs=3", "retrain.epochs=7"]
    config, of_hydra = compose_with_hydra("search", [*typed, "retrain.batch_size=100", "search.random_cells=10"])
    settings, folder = validated(config), tmp_path_factory.mktemp("run")
    request = request_of("search", ["dsrna.search"], settings, config, of_hydra, folder, "again")
    return settings, request, load_splits(settings)


def known(batch_size, batches, epochs, before=11.0, after=0.0):
    files = {"x/last.ckpt": 3 * MB, "metrics.jsonl": 400}
    return Rehearsed(batch_size, batches, epochs, before, after, 100 * MB, 120 * MB, files)


def test_a_training_is_its_steps_validation_and_what_comes_once(of_digits, monkeypatch):
    settings, request, splits = of_digits
    cold, warm = EpochTimes([90.0], 90.0, 900.0), EpochTimes([1.0, 2.0, 3.0], 4.0, 10.5)  # half a second of the rest
    asked = []
    monkeypatch.setattr(
        training_cost, "rehearsed", lambda *a: (asked.append((a[0], *a[4:])), known(25, 4, [cold, warm]))[1]
    )
    cost = training_cost.training_cost("retrain", settings, request, splits, None)
    assert asked == [("retrain", 100, 12)]
    an_epoch = {"low": 1, "expected": 2, "high": 3}  # four times as large batches, twelve of them; 216 images, not 100
    for name, step in an_epoch.items():
        assert getattr(cost.seconds, name) == pytest.approx(11 + 7 * (12 * 4 * step + 4 * 2.16 + 0.5))
    twice = training_cost.training_cost("retrain", settings, request, splits, None, CostRange(0.5, 1.0, 2.0))
    assert twice.seconds.low == pytest.approx(11 + 7 * ((48 + 4 * 2.16) / 2 + 0.5))
    assert twice.seconds.expected == cost.seconds.expected


def test_a_search_has_steps_of_two_kinds_and_ends_with_random_cells(of_digits, monkeypatch):
    settings, request, splits = of_digits
    cold = EpochTimes([90.0], 90.0, 900.0)
    warm, both = EpochTimes([1.0, 1.0], 0.2, 2.3), EpochTimes([5.0, 5.0], 0.2, 10.3)
    monkeypatch.setattr(search_cost, "rehearsed", lambda *_: known(60, 2, [cold, warm, cold, both], after=5.0))
    cost = search_cost.search_cost(settings, request, splits)
    steps = 3 * 10 * 1.0 + 6 * 10 * 5.0
    validation = 9 * 0.2 * 611 / 120
    cells = 5.0 * 12 / 5  # ten random ones, the derived one and the mixture, of which there were three
    assert cost.seconds.low == pytest.approx(11 + steps + validation + 9 * 0.1 + cells)
    assert cost.seconds.high == pytest.approx(cost.seconds.low + cells * ((256 + 216) / (120 + 120) - 1))


def test_memory_and_disk_of_what_was_not_rehearsed():
    few = known(10, 2, [EpochTimes()] * 4)
    assert few.memory(10, fixed=8 * MB) == CostRange(120 * MB, 120 * MB, 120 * MB)
    # 20 MB more for ten images, or 12 MB, of which 8 MB stay as they are
    assert few.memory(50, fixed=8 * MB) == CostRange(168 * MB, 184 * MB, 200 * MB)
    assert few.disk(40) == CostRange(3 * MB + 4000, 3 * MB + 4000, 6 * MB + 4000)


@pytest.mark.parametrize(
    ("an_image", "tried"), [(0.001, [(4, 2), (64, 8)]), (0.02, [(4, 2), (64, 3)]), (1.0, [(4, 2)])]
)
def test_whole_batches_are_rehearsed_where_that_takes_seconds(of_digits, monkeypatch, an_image, tried):
    settings, request, splits = of_digits
    asked = []

    def short_run(stage, short, *_):
        limits = short.trainer.limits
        asked.append((limits.batch_size, limits.batches))
        return known(*asked[-1], [EpochTimes([an_image * limits.batch_size], 0.0, 0.0)])

    monkeypatch.setattr(rehearsed, "short_run", short_run)
    rehearsed.rehearsed("retrain", settings, request, splits, 64, 8)
    assert asked == tried


def test_a_short_training_is_a_real_one_of_one_process_and_leaves_nothing_behind(of_digits, monkeypatch):
    monkeypatch.setattr(leading.subprocess, "Popen", lambda *_, **__: pytest.fail("another process was started"))
    monkeypatch.setattr(rehearsed, "FEW_IMAGES", 1000)
    settings, request, splits = of_digits
    short = settings.model_copy(update={"retrain": settings.retrain.model_copy(update={"batch_size": 8})})
    cost = training_cost.training_cost("retrain", short, request, splits, read_genotype("RNAS"))
    assert 0 < cost.seconds.low <= cost.seconds.expected <= cost.seconds.high
    assert cost.disk.low > 1000
    assert not list(request.folder.iterdir())


def test_the_usual_cell_is_the_middle_one_of_the_random_ones(of_digits):
    settings, _, splits = of_digits
    space = build_part(settings.space, "space")
    cell, others = training_cost.usual_cell(settings, splits, space)

    def of(genotype):
        return multiply_adds(build_network(describe(settings, splits, genotype)).eval(), torch.zeros(1, 1, 8, 8))

    costs = sorted(of(each) for each in distinct_cells(space, equal_weights(space), 16, generator(0, "rehearsal")))
    assert of(cell) == costs[8]
    assert others == CostRange(costs[0] / costs[8], 1.0, costs[-1] / costs[8])
