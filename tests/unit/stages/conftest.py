"""What tests of several stages share."""

import pytest

from dsrna.stages import evidence
from dsrna.strategies.selection.paths import Paths


@pytest.fixture
def images_of_paths(monkeypatch):
    """Of each comparison of paths that is made: the images it calibrates on, and those it scores on, as bytes."""
    seen = []

    class Watched(Paths):
        def __init__(self, space, supernet, objective, calibration, held_out, seed):
            calibration, held_out = list(calibration), list(held_out)
            seen.append([{x.numpy().tobytes() for batch, _ in part for x in batch} for part in (calibration, held_out)])
            super().__init__(space, supernet, objective, calibration, held_out, seed)

    monkeypatch.setattr(evidence, "Paths", Watched)
    return seen
