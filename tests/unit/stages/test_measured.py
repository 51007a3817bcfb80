"""Which of a run's numbers a sweep is given."""

import pytest

from dsrna.errors import CheckpointError
from dsrna.stages.run import measured
from dsrna.testing.run_folders import build_run_folder
from dsrna.training.checkpoints import save_checkpoint

NUMBERS = {"epoch": 3, "val/acc": 0.9, "val/acc_adv": 0.4}


@pytest.fixture
def folder(tmp_path):
    folder = build_run_folder(tmp_path / "run")
    save_checkpoint(folder.best_checkpoint("retrain"), {"numbers": NUMBERS})
    return folder


@pytest.mark.parametrize("name", ["val/acc", "val/acc_adv"])
def test_of_a_training_the_number_named_in_the_epoch_that_was_kept(folder, name):
    assert measured(folder, f"retrain/{name}") == NUMBERS[name]


def test_of_a_search_the_last_epoch(folder):
    assert measured(folder, "search/val/acc") == folder.read_metrics()[11]["search/val/acc"] == pytest.approx(0.9)


def test_what_was_not_measured_is_an_error(folder):
    with pytest.raises(CheckpointError, match="retrain/val/acc_certified"):
        measured(folder, "retrain/val/acc_certified")
