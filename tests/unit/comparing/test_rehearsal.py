"""A training's rehearsal counts what is beside the steps: the start of the stage, and what comes with every epoch."""

import pytest

from dsrna.comparing import rehearsal
from dsrna.comparing.jobs import Composed
from dsrna.config.compose import compose_with_hydra, settings_from
from dsrna.distributed import leading
from dsrna.runs.request import request_of
from dsrna.runs.sources import load_splits
from dsrna.spaces.genotype_source import read_genotype

A_STEP, A_VALIDATION = 0.5, 0.25  # seconds of a batch


@pytest.fixture(scope="module")
def of_digits(tmp_path_factory):
    """Settings of a tiny training, its request, images and cell."""
    config, of_hydra = compose_with_hydra(
        "search", ["stages=[retrain]", "retrain.cells=1", "retrain.channels=2", "retrain.epochs=7", "trainer.devices=2"]
    )
    settings, folder = settings_from(config), tmp_path_factory.mktemp("run")
    request = request_of("compare", ["dsrna.compare"], settings, config, of_hydra, folder, "again")
    return Composed(settings, {}, {}), request, load_splits(settings), read_genotype("RNAS")


def test_steps_validation_start_and_epochs_are_counted(of_digits, monkeypatch):
    composed, _, splits, _ = of_digits
    timed = iter([A_STEP, A_VALIDATION])
    monkeypatch.setattr(rehearsal, "seconds_of", lambda *_: next(timed))
    asked = []

    def short_run(stage, settings, *_):
        asked.append((stage, settings.trainer.limits.batches, settings.trainer.limits.batch_size))
        told = 8 * A_STEP + len(splits.validation) / size * A_VALIDATION  # of eight batches, and what they validate
        return [9.0, 1.5 * told], 9.0 + 1.5 * told + 11.0

    monkeypatch.setattr(rehearsal, "short_run", short_run)
    size = composed.settings.retrain.batch_size
    an_epoch = len(splits.train) // size * A_STEP + len(splits.validation) / size * A_VALIDATION
    assert rehearsal.training_seconds(*of_digits) == pytest.approx(7 * 1.5 * an_epoch + 11.0)
    assert asked == [("retrain", 8, size)]


def test_a_short_training_is_a_real_one_of_one_process_and_leaves_nothing_behind(of_digits, monkeypatch):
    monkeypatch.setattr(leading.subprocess, "Popen", lambda *_, **__: pytest.fail("another process was started"))
    composed, request, splits, cell = of_digits
    taken, whole = rehearsal._short_training(composed.settings, request, splits, cell, batch_size=8, batches=1)
    assert len(taken) == 2
    assert min(taken) > 0
    assert whole > sum(taken)
    assert not list(request.folder.iterdir())
