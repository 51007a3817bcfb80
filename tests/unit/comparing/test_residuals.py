"""Random cells of a size, and what cells are worth beside them."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats

from dsrna.comparing import random_cells
from dsrna.comparing.residuals import Fit, difference
from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.selection.sampling import equal_weights


@dataclass(frozen=True)
class Cell:
    log_parameters: float
    value: float


def test_a_random_cell_has_about_as_many_parameters_or_comes_nearest(monkeypatch):
    monkeypatch.setattr(random_cells, "TRIES", 300)
    space = DartsSpace()
    like = space.derive(equal_weights(space))

    def found(wanted):
        def parameters_of(cell):
            return wanted if cell == like else convolutions(cell)

        draw = torch.Generator().manual_seed(0)
        return convolutions(random_cells.random_cell(space, like, parameters_of, draw))

    assert found(10) in (9, 10, 11)
    assert found(1000) >= 13


def convolutions(cell):
    return sum("conv" in operation for part in cell.cells.values() for node in part.nodes for operation, _ in node)


def made_up(draw, above, count, slope=0.02):
    """Cells whose accuracy is a line over log parameters, noise of 0.01 and so much above."""
    sizes = draw.normal(10, 0.3, count)
    values = 0.2 + slope * sizes + above + draw.normal(0, 0.01, count)
    return [Cell(x, y) for x, y in zip(sizes, values, strict=True)]


def test_the_intervals_hold_the_truth_19_times_in_20():
    draw, held_it, single, raw = np.random.default_rng(0), 0, 0, 0
    repeats = 1500
    for _ in range(repeats):
        fit = Fit.through(made_up(draw, 0, 8))
        some = made_up(draw, 0.03, 3)
        low, high = fit.residual(some).interval
        held_it += low <= 0.03 <= high
        low, high = fit.residual(some[:1]).interval
        single += low <= 0.03 <= high
        flat = [made_up(draw, above, n, slope=0) for above, n in ((0.03, 3), (0, 8))]
        low, high = difference(*flat).interval
        raw += low <= 0.03 <= high
    for found in (held_it, single, raw):
        assert 0.935 < found / repeats < 0.965


def test_the_line_is_that_of_least_squares_and_a_single_residual_has_the_textbook_interval():
    draw = np.random.default_rng(1)
    cells, one = made_up(draw, 0, 12), made_up(draw, 0.05, 1)[0]
    x, y = (np.array([getattr(cell, name) for cell in cells]) for name in ("log_parameters", "value"))
    fit, line = Fit.through(cells), stats.linregress(x, y)
    assert (fit.slope, fit.intercept) == pytest.approx((line.slope, line.intercept))
    design = np.stack([np.ones(12), x], axis=1)
    left = y - design @ np.linalg.lstsq(design, y)[0]
    new = np.array([1, one.log_parameters])
    error = math.sqrt(left @ left / 10 * (1 + new @ np.linalg.inv(design.T @ design) @ new))  # of a prediction
    found = fit.residual([one])
    assert found.value == pytest.approx(one.value - line.intercept - line.slope * one.log_parameters)
    assert (found.error, found.freedom) == (pytest.approx(error), 10)


def test_no_line_through_two_cells_or_through_cells_of_one_size():
    assert Fit.through([Cell(1, 0.5), Cell(2, 0.5)]) is None
    assert Fit.through([Cell(1, 0.5), Cell(1, 0.6), Cell(1, 0.7)]) is None
