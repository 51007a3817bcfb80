"""From results to the rows of the table: all statistics, no layout."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from dsrna.comparing.fronts import Front, Point, front
from dsrna.comparing.intervals import Estimate, Spread, spread
from dsrna.comparing.paired import holm, over_images, over_seeds
from dsrna.comparing.residuals import Fit
from dsrna.comparing.results import Results, RowResults, Trained, outcomes


@dataclass(frozen=True)
class Cell:
    """A cell as a point over its size.

    Attributes:
        row: name of its row.
        digest: of its architecture.
        log_parameters: natural logarithm.
        value: robust accuracy, mean over its trainings.
    """

    row: str
    digest: str
    log_parameters: float
    value: float


@dataclass(frozen=True)
class Test:
    """A row beside the reference, by robust accuracy.

    Attributes:
        difference: of the means over training seeds that both have, paired.
        p_seeds, p_images: of the paired tests over training seeds and over images; None: no test.
        holm_seeds, holm_images: the same corrected for the number of rows.
    """

    difference: Estimate | None
    p_seeds: float | None
    p_images: float | None
    holm_seeds: float | None
    holm_images: float | None


@dataclass(frozen=True)
class TableRow:
    """One method.

    Attributes:
        row: its results.
        missing: how many of its runs are not done; all else is of those that are.
        accuracies: ``clean`` and each attack -> its spread.
        robust: the headline, in the worst case over the attacks.
        parameters, multiply_adds: mean over its networks, each cell as often as it was found.
        latency: batch size -> milliseconds, the same mean.
        search_seconds, training_seconds: of one search and of one training, means; None where nothing was timed.
        test: beside the reference; None for the reference itself.
        residual: height of its cells above the line through the random ones; None for random cells, or without a line.
        on_front: whether no other row is nowhere worse and somewhere better.
        share: of the front's volume that is this row's alone.
        folders: of its evaluations.
    """

    row: RowResults
    missing: int
    accuracies: dict[str, Spread]
    robust: Spread
    parameters: float
    multiply_adds: float
    latency: dict[str, float]
    search_seconds: float | None
    training_seconds: float | None
    test: Test | None
    residual: Estimate | None
    on_front: bool
    share: float
    folders: list[str]


@dataclass(frozen=True)
class ComparisonTable:
    """Everything that pages show.

    Attributes:
        results: what it was made from.
        rows: of methods that have results.
        unfinished: rows that have none yet.
        fit: the line through the random cells; None where they are too few.
        volume: of the front, see :class:`dsrna.comparing.fronts.Front`.
        cells: all cells.
    """

    results: Results
    rows: list[TableRow]
    unfinished: list[RowResults]
    fit: Fit | None
    volume: float | None
    cells: list[Cell]


def table_of(results: Results) -> ComparisonTable:
    """The statistics of what is there."""
    shown = [row for row in results.rows if results.networks(row)]
    cells = [cell for row in shown for cell in _cells(results, row)]
    random = {row.name for row in shown if row.kind == "random"}
    fit = Fit.through(_distinct([cell for cell in cells if cell.row in random]))
    tests = _tests(results, shown)
    points = [_point(results, row) for row in shown]
    found = front(points) if points else Front([], 0.0, [])
    rows = [
        TableRow(
            row=row,
            missing=results.missing(row),
            accuracies=_spreads(results, row),
            robust=_spread(results, row, lambda one: one.robust),
            parameters=_over_cells(results, row, lambda cell: results.costs[cell].parameters),
            multiply_adds=point.multiply_adds,
            latency=_latency(results, row),
            search_seconds=_mean([one.seconds for one in row.found if one.seconds is not None]),
            training_seconds=_mean([one.seconds for one in _all(results, row) if one.seconds is not None]),
            test=tests.get(row.name),
            residual=None if fit is None or row.name in random else fit.residual(_cells(results, row)),
            on_front=member,
            share=share,
            folders=[one.folder for one in _all(results, row)],
        )
        for row, point, member, share in zip(shown, points, found.members, found.shares, strict=True)
    ]
    unfinished = [row for row in results.rows if row not in shown]
    return ComparisonTable(results, rows, unfinished, fit, found.volume if points else None, cells)


def _tests(results: Results, rows: Sequence[RowResults]) -> dict[str, Test]:
    """Every row but the reference beside it, with Holm's correction over these rows."""
    reference = next((row for row in rows if row.name == results.reference), None)
    others = [row for row in rows if row is not reference]
    if reference is None:
        return {}
    differences = [over_seeds(_by_seed(results, row), _by_seed(results, reference)) for row in others]
    by_seeds = [None if one is None else one.p_value for one in differences]
    by_images = [_image_test(_all(results, row), _all(results, reference)) for row in others]
    corrected = zip(holm(by_seeds), holm(by_images), strict=True)
    return {
        row.name: Test(difference, of_seeds, of_images, *both)
        for row, difference, of_seeds, of_images, both in zip(
            others, differences, by_seeds, by_images, corrected, strict=True
        )
    }


def _image_test(some: Sequence[Trained], others: Sequence[Trained]) -> float | None:
    every = outcomes([*some, *others], "standing")
    return None if every is None else over_images(every[: len(some)], every[len(some) :])


def _by_seed(results: Results, row: RowResults) -> dict[int, float]:
    """Training seed -> robust accuracy, mean over the row's cells; of seeds from which all of them were trained."""
    found: dict[int, list[float]] = {}
    cells = [one.cell for one in row.found if one.cell in results.networks(row)]
    for cell in cells:
        for one in results.networks(row)[str(cell)]:
            found.setdefault(one.seed, []).append(one.robust)
    whole = 1 if row.kind == "run" else len(cells)
    return {seed: float(np.mean(values)) for seed, values in found.items() if len(values) >= whole}


def _spreads(results: Results, row: RowResults) -> dict[str, Spread]:
    """Of every accuracy that all networks of the row have."""
    every = _all(results, row)
    labels = [label for label in every[0].accuracies if all(label in one.accuracies for one in every)]
    return {label: _spread(results, row, partial(_accuracy, label)) for label in labels}


def _accuracy(label: str, one: Trained) -> float:
    return one.accuracies[label]


def _spread(results: Results, row: RowResults, value: Callable[[Trained], float]) -> Spread:
    networks = results.networks(row)
    return spread([[value(one) for one in of] for of in networks.values()], _times(row, list(networks)))


def _cells(results: Results, row: RowResults) -> list[Cell]:
    return [
        Cell(row.name, cell, math.log(results.costs[cell].parameters), float(np.mean([one.robust for one in of])))
        for cell, of in results.networks(row).items()
    ]


def _distinct(cells: Sequence[Cell]) -> list[Cell]:
    """A cell of two rows once."""
    return list({cell.digest: cell for cell in cells}.values())


def _point(results: Results, row: RowResults) -> Point:
    return Point(
        _spread(results, row, lambda one: one.robust).mean,
        _spread(results, row, lambda one: one.clean).mean,
        _over_cells(results, row, lambda cell: results.costs[cell].multiply_adds),
    )


def _latency(results: Results, row: RowResults) -> dict[str, float]:
    """Batch size -> milliseconds, of those that were measured for every cell of the row."""
    measured = {cell: results.costs[cell].latency for cell in results.networks(row)}
    sizes = set.intersection(*(set(one) for one in measured.values()))
    return {size: _over_cells(results, row, lambda cell: measured[cell][size]) for size in sorted(sizes, key=int)}  # noqa: B023


def _over_cells(results: Results, row: RowResults, value: Callable[[str], float]) -> float:
    cells = list(results.networks(row))
    return float(np.average([value(cell) for cell in cells], weights=_times(row, cells)))


def _times(row: RowResults, cells: Sequence[str]) -> list[int]:
    found = [one.cell for one in row.found]
    return [found.count(cell) for cell in cells]


def _all(results: Results, row: RowResults) -> list[Trained]:
    return [one for of in results.networks(row).values() for one in of]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
