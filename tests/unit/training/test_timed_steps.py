"""What the steps timed on a GPU say of a whole search."""

import importlib.util
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "experiments" / "gpu" / "steps.py"


@pytest.fixture
def steps():
    if not SOURCE.is_file():
        pytest.skip("experiments/ isn't part of the installed package")
    spec = importlib.util.spec_from_file_location("steps", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_whole_search_is_its_epochs_of_each_kind_and_their_validation(steps):
    """Weight steps of 1 s, both steps of 3 s, validation batches of 0.5 s; the first five took longer."""
    clock = object.__new__(steps.Clock)
    clock.batches = {"training": 100, "validation": 50}
    clock.began = {
        key: [0, 50, 100, 150, 200, *(250 + seconds * step for step in range(11))]
        for key, seconds in {("training", 0): 1, ("training", 1): 3, ("validation", 0): 0.5}.items()
    }
    found = steps.extrapolated(clock, epochs=10, warmup=4)
    assert found["weight_step_seconds"] == 1
    assert found["both_steps_seconds"] == 3
    assert found["steps_counted"] == 10
    assert found["whole_search_hours"] == pytest.approx((4 * 100 * 1 + 6 * 100 * 3 + 10 * 50 * 0.5) / 3600)
