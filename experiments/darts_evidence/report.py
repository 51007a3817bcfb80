"""How searched cells do beside random ones with about as many parameters: residuals over log parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from plan import RANDOM
from rich.console import Console
from rich.table import Table

from dsrna.comparing.intervals import Estimate
from dsrna.comparing.random_cells import WITHIN
from dsrna.comparing.residuals import Fit, difference

MEASURES = {"certified": "certified", "pgd20": "PGD-20", "clean": "clean"}
"""Key of a training's line -> its name; the first one that there is decides."""


@dataclass(frozen=True)
class Cell:
    """One cell's network: ``value`` is its accuracy, the mean over training seeds."""

    name: str
    recipe: str
    log_parameters: float
    value: float
    trainings: int


def cells_of(lines: Sequence[dict[str, Any]], measure: str) -> list[Cell]:
    """All cells that are trained; one in which several searches of a recipe ended counts once, as it is one network."""
    trainings: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        if line.get("kind") == "training":
            trainings.setdefault(line["cell"], []).append(line)
    first: dict[str, str] = {}
    for name, of in trainings.items():
        first.setdefault(f"{of[0]['recipe']} {of[0]['genotype']}", name)
    return [
        Cell(name, of[0]["recipe"], math.log(of[0]["parameters"]), float(np.mean([o[measure] for o in of])), len(of))
        for name, of in trainings.items()
        if name in first.values()
    ]


def report(lines: Sequence[dict[str, Any]]) -> None:
    """Prints every cell, and of every recipe the residual and what it says."""
    console = Console(width=150)
    for line in lines:
        if "failed" in line:
            console.print(f"{line['name']} failed: {line['failed']}")
    trained = [line for line in lines if line.get("kind") == "training"]
    cells = {measure: cells_of(lines, measure) for measure in MEASURES if all(measure in line for line in trained)}
    console.print(every_cell(cells))
    for measure, of in cells.items():
        console.print(recipes(of, MEASURES[measure]))
    measure, of = next(iter(cells.items()))
    for recipe in recipes_of(of):
        console.print(verdict(of, recipe, MEASURES[measure]))
    for one, other in combinations(recipes_of(of), 2):
        apart = difference(*([cell for cell in of if cell.recipe == recipe] for recipe in (one, other)))
        console.print(
            f"{one} less {other}, sizes as they are: {in_words(apart)} points of {MEASURES[measure]} accuracy"
        )


def recipes_of(cells: Sequence[Cell]) -> list[str]:
    """Of searches, in the order of the record."""
    return [recipe for recipe in dict.fromkeys(cell.recipe for cell in cells) if recipe != RANDOM]


def every_cell(cells: Mapping[str, Sequence[Cell]]) -> Table:
    measure, first = next(iter(cells.items()))
    fit = Fit.through([cell for cell in first if cell.recipe == RANDOM])
    names = [MEASURES[measure] for measure in cells]
    table = Table("cell", "parameters", "trainings", *names, f"residual of {MEASURES[measure]}")
    for of_cell in zip(*cells.values(), strict=True):
        cell = of_cell[0]
        table.add_row(
            cell.name, f"{math.exp(cell.log_parameters):,.0f}", str(cell.trainings),
            *(percent(each.value) for each in of_cell),
            "" if fit is None else points(cell.value - fit.at(cell.log_parameters)),
        )  # fmt: skip
    return table


def recipes(cells: Sequence[Cell], label: str) -> Table:
    random = [cell for cell in cells if cell.recipe == RANDOM]
    fit = Fit.through(random)
    title = "" if fit is None else f", {points(fit.slope * math.log(2))} points a doubling of parameters"
    table = Table(
        "search", "cells", "mean", "parameters, geometric mean", "above the random cells' mean (95 %)",
        "residual over log parameters (95 %)", title=f"{label}{title}", title_justify="left",
    )  # fmt: skip
    for recipe in [*recipes_of(cells), *([RANDOM] if random else [])]:
        some = [cell for cell in cells if cell.recipe == recipe]
        mean = percent(float(np.mean([cell.value for cell in some])))
        size = f"{math.exp(np.mean([cell.log_parameters for cell in some])):,.0f}"
        if recipe == RANDOM:
            scatter = "" if fit is None else f"scatter about the line {points(math.sqrt(fit.variance))}"
            table.add_row(recipe, str(len(some)), mean, size, "", scatter)
            continue
        raw, residual = difference(some, random), None if fit is None else fit.residual(some)
        table.add_row(recipe, str(len(some)), mean, size, in_words(raw), in_words(residual))
    return table


def verdict(cells: Sequence[Cell], recipe: str, label: str) -> str:
    """Whether a recipe's cells are above the random ones of their size by two standard errors."""
    fit = Fit.through([cell for cell in cells if cell.recipe == RANDOM])
    some = [cell for cell in cells if cell.recipe == recipe]
    if fit is None:
        return "Too few cells are trained for a verdict."
    found = fit.residual(some)
    number = "" if found.error == 0 else f"{found.value / found.error:+.1f} standard errors"
    aim = "above" if found.value > 2 * found.error else "not above"
    off = [cell.name for cell in cells if recipe in cell.name and cell.recipe == RANDOM and not matched(cell, cells)]
    note = f" Farther than {WITHIN:.0%} from their searched cell's parameters: {', '.join(off)}." if off else ""
    return (
        f"{recipe}: {label} accuracy of {len(some)} cells is {points(found.value)} points from the line through "
        f"{fit.count} random cells, {number}: {aim} random cells of its size by two standard errors.{note}"
    )


def matched(cell: Cell, cells: Sequence[Cell]) -> bool:
    """Whether a random cell has its searched cell's parameters, give or take a tenth, as far as is known yet."""
    of_search = {other.name: other for other in cells}.get(cell.name.partition("_of_")[2])
    return of_search is None or abs(math.exp(cell.log_parameters - of_search.log_parameters) - 1) <= WITHIN


def in_words(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    low, high = estimate.interval
    return f"{points(estimate.value)} ± {100 * estimate.error:.2f} ({points(low)} to {points(high)})"


def percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def points(value: float) -> str:
    return f"{100 * value:+.2f}"
