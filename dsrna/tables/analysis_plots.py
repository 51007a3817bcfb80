"""Pictures of the analyses of the published tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from dsrna.benchmarks.analysis import operation_counts
from dsrna.benchmarks.findings import Agreement
from dsrna.benchmarks.table_analysis import Effects, TableAnalysis
from dsrna.report.style import (
    ADVERSARIAL,
    CERTIFIED,
    CLEAN,
    INK,
    MUTED,
    OTHER_COLOURS,
    add_legend,
    new_figure,
    operation_colours,
    tidy,
)
from dsrna.spaces.nasbench201.topology import EDGES, PRIMITIVES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FEW, _MOST_WITH_NUMBERS = 10, 40
_NODE_NAMES = ("input", "1", "2", "output")


def colour_of(table: TableAnalysis) -> str:
    """The colour that stands for a table's way of training."""
    return ADVERSARIAL if table.training.startswith("adversarial") else CLEAN


def draw_correlations(table: TableAnalysis, places: Sequence[int]) -> Figure:
    """Rank correlations of some columns: Spearman's above the diagonal, Kendall's below; numbers if there are few."""
    labels = [table.columns[place].label for place in places]
    above, below = (found[np.ix_(places, places)] for found in (table.spearman, table.kendall))
    values = np.triu(above) + np.tril(below, -1)
    numbered = len(places) <= _MOST_WITH_NUMBERS
    size = 2.2 + (0.5 if len(places) <= _FEW else 0.3 if numbered else 0.105) * len(places)
    figure = new_figure(max(5.0, size + 0.8), max(4.2, size))
    axes = figure.subplots()
    image = axes.imshow(values, cmap="RdBu", vmin=-1, vmax=1)
    if numbered:
        axes.set_xticks(range(len(places)), labels, rotation=60, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(places)), labels)
        few = len(places) <= _FEW
        _write_numbers(axes, values, digits=3 if few else 2, size=8.5 if few else 5.5)
    else:
        _name_groups(axes, [table.columns[place].metric for place in places])
    axes.tick_params(labelsize=7.5, colors=INK, length=0)
    bar = figure.colorbar(image, aspect=40, pad=0.01)
    bar.set_label("above the diagonal: Spearman's rho; below: Kendall's tau", fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=7.5, colors=INK)
    return figure


def draw_robust_against(table: TableAnalysis) -> Figure:
    """The headline column against clean accuracy and against parameters, one point a class."""
    headline = table.columns[table.headline]
    clean = table.position("clean")
    sides: list[tuple[np.ndarray, str]] = [(table.parameters / 1e6, "parameters, millions")]
    if clean is not None:
        sides.insert(0, (100 * table.columns[clean].values, "clean accuracy, %"))
    figure = new_figure(4.4 * len(sides), 3.6)
    for axes, (x, label) in zip(np.atleast_1d(figure.subplots(1, len(sides), sharey=True)), sides, strict=True):
        axes.scatter(x, 100 * headline.values, s=5, alpha=0.35, color=colour_of(table), linewidths=0)
        tidy(axes, x=label, y=f"{headline.label} accuracy, %" if axes.get_subplotspec().is_first_col() else "")
    return figure


def draw_spreads(table: TableAnalysis) -> Figure:
    """From the worst to the best mean accuracy under attack of the networks that have the same parameter count."""
    figure = new_figure(8.4, 3.6)
    axes = figure.subplots()
    counts = _counts_by_convolutions(table)
    for spread in table.spreads:
        told = (spread.convolutions_1x1, spread.convolutions_3x3) == (0, 2)
        x = counts[spread.convolutions_1x1, spread.convolutions_3x3] / 1e6
        ends = [100 * spread.smallest, 100 * spread.largest]
        axes.plot(
            [x, x], ends, color=INK if told else colour_of(table), linewidth=5 if told else 3.2,
            alpha=1.0 if told else 0.55, solid_capstyle="round",
        )  # fmt: skip
        if told:
            text = f"two 3x3, no 1x1:\n{ends[0]:.1f} to {ends[1]:.1f} %"
            axes.annotate(text, (x, ends[0]), (8, -2), textcoords="offset points", fontsize=8, color=INK, va="top")
    tidy(axes, x="parameters, millions", y="mean accuracy under attack, %")
    axes.set_ylim(bottom=0)
    return figure


def draw_effects(effects: Effects) -> Figure:
    """A column's mean by how often an operation occurs, by where it stands, and by depth of 3 x 3 convolutions."""
    figure = new_figure(11.5, 3.7)
    by_count, by_position, by_depth = figure.subplots(1, 3, width_ratios=[1.25, 1.15, 0.9])
    colours = operation_colours(PRIMITIVES)
    for name, means in zip(PRIMITIVES, effects.by_count, strict=True):
        by_count.plot(100 * means, marker="o", markersize=3.5, color=colours[name], label=name)
    tidy(by_count, title="how often an operation occurs", x="times in the cell", y=f"mean {effects.label} accuracy, %")
    add_legend(by_count)
    edges = [f"{_NODE_NAMES[source]} → {_NODE_NAMES[target]}" for source, target in EDGES]
    differences = 100 * (effects.by_position - effects.mean)
    _heat_map(by_position, differences, PRIMITIVES, edges, signed=True)
    by_position.set_title("where (difference to the mean, points)", loc="left", fontsize=10, fontweight="bold")
    present = ~np.isnan(effects.by_depth).all(axis=1)
    rows = [str(count) for count in np.flatnonzero(present)]
    _heat_map(by_depth, 100 * effects.by_depth[present], [str(k) for k in range(4)], rows, signed=False)
    by_depth.set_title("3x3 convolutions in a row, %", loc="left", fontsize=10, fontweight="bold")
    by_depth.set_xlabel("most of them on one path", fontsize=9, color=INK)
    by_depth.set_ylabel("how many there are", fontsize=9, color=INK)
    return figure


def draw_agreement(adversarial: TableAnalysis, standard: TableAnalysis, agreed: Sequence[Agreement]) -> Figure:
    """Ranks after adversarial training against those after standard training, and their correlation by eps."""
    figure = new_figure(9.6, 3.8)
    scatter, lines = figure.subplots(1, 2)
    x, y = standard.columns[standard.headline], adversarial.columns[adversarial.headline]
    scatter.scatter(_ranks(x.values), _ranks(y.values), s=4, alpha=0.3, color=MUTED, linewidths=0)
    tidy(scatter, x=f"rank by {x.label} after standard training", y=f"rank by {y.label} after adversarial training")
    rho = {entry.standard: entry.spearman for entry in agreed if entry.adversarial == y.label}
    metrics = dict.fromkeys(column.metric for column in standard.columns if column.kind == "attack")
    for metric, colour in zip(metrics, cycle([CLEAN, ADVERSARIAL, CERTIFIED, *OTHER_COLOURS]), strict=False):
        entries = [c for c in standard.columns if c.metric == metric and c.level is not None and c.level <= 8.5 / 255]
        eps = [255 * float(column.level or 0) for column in entries]
        lines.plot(
            eps, [rho[column.label] for column in entries], color=colour, marker="o", markersize=3.5, label=metric
        )
    if "clean" in rho:
        lines.axhline(rho["clean"], color=MUTED, linestyle=":", label="clean")
    tidy(
        lines,
        x="eps of the standard-trained networks, in 1/255",
        y=f"Spearman with {y.label}\nafter adversarial training",
    )
    lines.set_ylim(top=1.02)
    lines.legend(fontsize=8.5, loc="center left", bbox_to_anchor=(1.0, 0.5), edgecolor="none")
    return figure


def _heat_map(axes: Axes, values: np.ndarray, columns: Sequence[str], rows: Sequence[str], *, signed: bool) -> None:
    most = float(np.nanmax(np.abs(values)))
    low = -most if signed else float(np.nanmin(values))
    axes.imshow(values, cmap="RdBu" if signed else "Blues", vmin=low, vmax=most, aspect="auto")
    axes.set_xticks(range(len(columns)), columns)
    if max(map(len, columns)) > 3:
        axes.set_xticks(range(len(columns)), columns, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(labelsize=8, colors=INK, length=0)
    dark = low + 0.7 * (most - low)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            on_dark = abs(value) > 0.65 * most if signed else value > dark
            rounded = round(float(value), 1) + 0.0
            text = f"{rounded:+.1f}" if signed else f"{rounded:.1f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if on_dark else INK)


def _write_numbers(axes: Axes, values: np.ndarray, *, digits: int, size: float) -> None:
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value) and row != column:
            rounded = round(float(value), digits) + 0.0  # no minus before a zero
            text = f"{rounded:.{digits}f}"
            text = text if abs(rounded) == 1 else text.replace("0.", ".", 1)
            colour = "white" if abs(value) > 0.65 else INK
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)


def _name_groups(axes: Axes, metrics: Sequence[str]) -> None:
    """One name and one line around all columns of a metric."""
    starts = [place for place, name in enumerate(metrics) if place == 0 or metrics[place - 1] != name]
    ends = [*starts[1:], len(metrics)]
    middles = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
    names = [metrics[start] for start in starts]
    axes.set_xticks(middles, names, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(middles, names)
    for start in starts[1:]:
        axes.axhline(start - 0.5, color="white", linewidth=1)
        axes.axvline(start - 0.5, color="white", linewidth=1)


def _counts_by_convolutions(table: TableAnalysis) -> dict[tuple[int, int], int]:
    """(1 x 1, 3 x 3 convolutions) -> parameters."""
    counts = operation_counts()
    ones, threes = (counts[:, PRIMITIVES.index(name)] for name in ("nor_conv_1x1", "nor_conv_3x3"))
    return {(int(a), int(b)): int(size) for a, b, size in zip(ones, threes, table.parameters, strict=True)}


def _ranks(values: np.ndarray) -> np.ndarray:
    """1 for the largest."""
    return (-values).argsort().argsort() + 1
