"""Pictures of searches by queries: best so far against queries, fronts, hypervolumes."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from dsrna.report.query_data import QueryData, axis_text, shown
from dsrna.report.style import INK, MUTED, add_legend, log_counts, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#7b4fa3")
_COLUMNS = 3
_BEGINNING = 10
"""Queries that curves leave out where there are many more: the first ones say nothing but stretch the axis."""


def draw_curves(data: QueryData) -> Figure:
    """One panel a guide, one line a method: mean over repeats, with a band of one standard deviation each way.

    What is drawn is what the first judge says of the best so far by the guide; without judges, the guide's own value.
    """
    judges, guides = data.document["judges"], data.guides
    columns = min(_COLUMNS, len(guides))
    rows = -(-len(guides) // columns)
    figure = new_figure(max(4.6, 3.3 * columns), 2.7 * rows + 0.2)
    every = np.ravel(figure.subplots(rows, columns, sharex=True, sharey=bool(judges), squeeze=False))
    kind = judges[0]["kind"] if judges else "proxy"
    for axes, guide in zip(every, guides, strict=False):
        tidy(axes, title=guide)
        log_counts(axes)
        if judges:
            axes.axhline(shown(judges[0]["best"], kind), color=MUTED, linewidth=1, linestyle="--")
        for method, colour in zip(data.methods, _colours(len(data.methods)), strict=True):
            entry = data.search(method, guide)
            curve = entry["curve"] if judges else entry["guided"]
            if curve is not None:
                _line(axes, data.document["grid"], curve, kind, colour, method)
    for place, axes in enumerate(every):
        axes.set_visible(place < len(guides))
        if place >= len(guides) - columns:
            axes.set_xlabel("queries", fontsize=9, color=INK)
            axes.tick_params(labelbottom=True)
        if place % columns == 0:
            axes.set_ylabel(axis_text(judges[0]["name"], kind) if judges else "best score", fontsize=9, color=INK)
    add_legend(every[0])
    return figure


def draw_fronts(data: QueryData) -> Figure:
    """The front that the first repeat of each method found, for every pair of columns; grey: that of all architectures.

    A front of three columns doesn't look like one in the plane of two of them.
    """
    front = data.document["front"]
    pairs = list(combinations(range(len(front["columns"])), 2))
    columns = min(_COLUMNS, len(pairs))
    rows = -(-len(pairs) // columns)
    figure = new_figure(max(4.6, 3.4 * columns), 3.0 * rows + 0.2)
    every = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes, (up, across) in zip(every, pairs, strict=False):
        one, other = front["columns"][across], front["columns"][up]
        tidy(axes, x=axis_text(one["name"], one["kind"]), y=axis_text(other["name"], other["kind"]))
        axes.scatter(*_pair(front["points"], front["columns"], across, up), s=26, color="#c3c9d0", label="all")
        entries = data.document["fronts"]
        for entry, colour in zip(entries, _colours(len(entries)), strict=True):
            if entry["measured"] is not None:
                points = _pair(entry["measured"], front["columns"], across, up)
                axes.scatter(*points, s=8, color=colour, label=entry["method"])
    for axes in every[len(pairs) :]:
        axes.set_visible(False)
    add_legend(every[0])
    return figure


def draw_hypervolumes(data: QueryData) -> Figure:
    """Share of the hypervolume of all architectures' front: mean over repeats with a band of one standard deviation."""
    figure = new_figure(5.6, 3.1)
    axes = figure.subplots()
    tidy(axes, x="queries", y="hypervolume, % of the best")
    log_counts(axes)
    axes.axhline(100, color=MUTED, linewidth=1, linestyle="--")
    best, entries = data.document["front"]["hypervolume"], data.document["fronts"]
    for entry, colour in zip(entries, _colours(len(entries)), strict=True):
        share = {key: [value / best for value in values] for key, values in entry["hypervolume"].items()}
        _line(axes, data.document["grid"], share, "accuracy", colour, entry["method"])
    add_legend(axes)
    return figure


def _line(axes: Axes, grid: list[int], curve: dict[str, Any], kind: str, colour: str, label: str) -> None:
    mean, deviation = np.array(curve["mean"]), np.array(curve["std"])
    low, high, middle = (_shown_array(values, kind) for values in (mean - deviation, mean + deviation, mean))
    if grid[-1] >= 10 * _BEGINNING:
        start = next(place for place, count in enumerate(grid) if count >= _BEGINNING)
        grid, low, high, middle = grid[start:], low[start:], high[start:], middle[start:]
    axes.fill_between(grid, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(grid, middle, color=colour, linewidth=1.5, label=label)


def _shown_array(values: np.ndarray, kind: str) -> np.ndarray:
    """:func:`dsrna.report.query_data.shown` of every entry."""
    return np.array([shown(value, kind) for value in values.tolist()])


def _pair(points: list[list[float]], columns: list[dict[str, str]], x: int, y: int) -> tuple[np.ndarray, np.ndarray]:
    one, other = (_shown_array(np.array(points[place]), columns[place]["kind"]) for place in (x, y))
    return one, other


def _colours(count: int) -> list[str]:
    return [_COLOURS[place % len(_COLOURS)] for place in range(count)]
