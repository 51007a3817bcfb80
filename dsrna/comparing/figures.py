"""The figures of a comparison."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dsrna.comparing.table import ComparisonTable
from dsrna.comparing.transfer_figure import draw_transfer
from dsrna.report.style import INK, MUTED, add_legend, log_counts, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {"search": "#0072b2", "published": "#00795c", "random": "#7b8794", "model": "#b35900", "run": "#0072b2"}
_NAMES = {
    "search": "search",
    "published": "published cell",
    "random": "random cells",
    "model": "network without cells",
    "run": "run",
}


def draw_rows(table: ComparisonTable) -> Figure:
    """Robust accuracy of every network, row by row, with the mean and its 95 % interval."""
    rows = table.rows[::-1]
    figure = new_figure(7.0, 1.2 + 0.42 * len(rows))
    axes = figure.subplots()
    for place, row in enumerate(rows):
        colour = _COLOURS[row.row.kind]
        values = [100 * one.robust for of in table.results.networks(row.row).values() for one in of]
        axes.scatter(values, np.full(len(values), place), s=16, color=colour, alpha=0.55, linewidths=0)
        if row.robust.interval is not None:
            low, high = row.robust.interval
            axes.plot([max(0.0, 100 * low), min(100.0, 100 * high)], [place - 0.22] * 2, color=INK, linewidth=1.2)
        axes.plot(100 * row.robust.mean, place - 0.22, "D", color=INK, markersize=4)
    axes.set_yticks(range(len(rows)), [row.row.name for row in rows])
    axes.set_ylim(-0.7, len(rows) - 0.4)
    tidy(axes, x="accuracy in the worst case over the attacks, %")
    return figure


def draw_sizes(table: ComparisonTable) -> Figure:
    """Robust accuracy of every cell over its parameters, with the line through the random ones."""
    figure = new_figure(7.0, 3.8)
    axes = figure.subplots()
    kinds = {row.row.name: row.row.kind for row in table.rows}
    for kind in dict.fromkeys(kinds.values()):
        cells = [cell for cell in table.cells if kinds[cell.row] == kind]
        x = [math.exp(cell.log_parameters) for cell in cells]
        axes.scatter(
            x, [100 * cell.value for cell in cells], s=26, color=_COLOURS[kind], label=_NAMES[kind], linewidths=0
        )
    log_counts(axes)
    if table.fit is not None:
        ends = np.array(
            [min(cell.log_parameters for cell in table.cells), max(cell.log_parameters for cell in table.cells)]
        )
        axes.plot(
            np.exp(ends), [100 * table.fit.at(x) for x in ends], color=MUTED, linewidth=1.2, label="random cells' line"
        )
    add_legend(axes)
    tidy(axes, x="parameters", y="worst-case accuracy, %")
    return figure


def draw_front(table: ComparisonTable) -> Figure:
    """Robust accuracy over multiply-adds, clean accuracy as colour; rows of the front have their names."""
    figure = new_figure(7.0, 3.8)
    axes = figure.subplots()
    x = [row.multiply_adds for row in table.rows]
    y = [100 * row.robust.mean for row in table.rows]
    colours = [100 * row.accuracies["clean"].mean for row in table.rows]
    drawn = axes.scatter(
        x,
        y,
        c=colours,
        s=[70 if row.on_front else 26 for row in table.rows],
        cmap="viridis",
        edgecolors=INK,
        linewidths=0.7,
    )
    log_counts(axes)
    for row in table.rows:
        if row.on_front:
            axes.annotate(
                row.row.name,
                (row.multiply_adds, 100 * row.robust.mean),
                xytext=(6, 4),
                textcoords="offset points",
                fontsize=8,
                color=INK,
            )
    bar = figure.colorbar(drawn, aspect=30, pad=0.01)
    bar.set_label("clean accuracy, %", fontsize=8.5, color=INK)
    bar.ax.tick_params(labelsize=8, colors=INK)
    tidy(axes, x="multiply-adds of an image", y="worst-case accuracy, %")
    return figure


FIGURES = {
    "rows": (
        draw_rows,
        "Accuracy in the worst case over the attacks: every network a dot; diamond and line: the mean of the row and "
        "its 95 % interval.",
    ),
    "sizes": (
        draw_sizes,
        "Every cell over its number of parameters, and the line through the random cells, from which residuals are "
        "measured.",
    ),
    "front": (
        draw_front,
        "Robust accuracy, clean accuracy and cost: large dots with a name are on the Pareto front.",
    ),
    "transfer": (
        draw_transfer,
        "Accuracy on images that were made on another network; on the diagonal on its own. Networks of a method stand "
        "together. A column that is darker off the diagonal than on it says that the network's gradients mislead.",
    ),
}
"""Name -> what draws it (None: there is nothing to draw), and what it shows."""
