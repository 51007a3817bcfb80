"""The matrix of transfer attacks, as a picture, as CSV and in a few words."""

from __future__ import annotations

import csv
import io
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from dsrna.comparing.results import Results
from dsrna.comparing.table import ComparisonTable
from dsrna.report.style import INK, new_figure, text_colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NUMBERED = 16
"""With more networks the numbers would not be readable in the picture; the CSV has them all."""


def draw_transfer(table: ComparisonTable) -> Figure | None:
    """Sources by targets, rows of one method together; None where transfer wasn't measured."""
    from matplotlib.colors import to_hex

    found = table.results.transfer
    if found is None:
        return None
    labels, order = _ordered(table.results)
    values = 100 * np.array(found["accuracy"])[np.ix_(order, order)]
    count = len(order)
    side = min(11.0, 2.6 + 0.42 * count)
    larger = max(1.0, side / 7)  # on the page a large figure is made smaller
    figure = new_figure(side + 0.6, side)
    axes = figure.subplots()
    image = axes.imshow(values, cmap="viridis", vmin=0, vmax=max(1.0, float(values.max())), gid="transfer")
    blocks = [place for place in range(1, count) if labels[place][0] != labels[place - 1][0]]
    for edge in blocks:
        axes.axhline(edge - 0.5, color="white", linewidth=1.5)
        axes.axvline(edge - 0.5, color="white", linewidth=1.5)
    if count <= _NUMBERED:
        ticks, names = [float(place) for place in range(count)], [f"{row}, {network}" for row, network in labels]
        for (row, column), value in np.ndenumerate(values):
            colour = text_colour(to_hex(tuple(image.to_rgba(value))))
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7, color=colour)
    else:
        edges = [0, *blocks, count]
        ticks = [(low + high - 1) / 2 for low, high in pairwise(edges)]
        names = [labels[low][0] for low in edges[:-1]]
    axes.set_xticks(ticks, names, rotation=90)
    axes.set_yticks(ticks, names)
    axes.tick_params(labelsize=8 * larger, colors=INK, length=0)
    axes.set_xlabel("shown to", fontsize=9 * larger, color=INK)
    axes.set_ylabel("made on", fontsize=9 * larger, color=INK)
    bar = figure.colorbar(image, aspect=30, pad=0.02)
    bar.set_label("accuracy, %", fontsize=8.5 * larger, color=INK)
    bar.ax.tick_params(labelsize=8 * larger, colors=INK)
    return figure


def transfer_csv(results: Results) -> str | None:
    """One line a pair; accuracies in [0, 1]. None where transfer wasn't measured."""
    found = results.transfer
    if found is None:
        return None
    names = [_label(results, cell, seed) for cell, seed in found["networks"]]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    sides = [f"{side}{what}" for side in ("made on", "shown to") for what in ("", ", cell", ", seed")]
    writer.writerow([*sides, "accuracy", "low", "high"])
    for row, (source, from_whom) in enumerate(zip(found["networks"], names, strict=True)):
        for column, (target, to_whom) in enumerate(zip(found["networks"], names, strict=True)):
            accuracy, interval = found["accuracy"][row][column], found["interval"][row][column]
            writer.writerow([from_whom, *source, to_whom, *target, accuracy, *interval])
    return text.getvalue()


def transfer_sentences(results: Results) -> list[str]:
    """What the matrix says of attacks without the gradients; and of whom it says that the gradients mislead."""
    found = results.transfer
    if found is None or len(found["networks"]) < 2:
        return []
    accuracy = np.array(found["accuracy"])
    others = ~np.eye(len(accuracy), dtype=bool)
    sentences = [
        f"On images made on another network ({found['attack']}, the first {found['images']:,}), "
        f"{100 * accuracy[others].mean():.1f} % stay correct in the mean, on those made on the network itself "
        f"{100 * accuracy.diagonal().mean():.1f} %."
    ]
    for column, (cell, seed) in enumerate(found["networks"]):
        low = found["interval"][column][column][0]
        beaten = [row for row in range(len(accuracy)) if row != column and found["interval"][row][column][1] < low]
        if beaten:
            worst = min(beaten, key=lambda row: accuracy[row, column])
            sentences.append(
                f"{_label(results, cell, seed)} (seed {seed}): images made on another network break more than its own "
                f"({100 * accuracy[worst, column]:.1f} % against {100 * accuracy[column, column]:.1f} %), so its "
                "gradients mislead and its robustness is overestimated."
            )
    return sentences


def _ordered(results: Results) -> tuple[list[tuple[str, str]], list[int]]:
    """(row, network) of each network in the order of the rows, and their places in the matrix."""
    networks: list[Any] = list(results.transfer["networks"]) if results.transfer else []
    rows = [row.name for row in results.rows]
    keyed = sorted(
        range(len(networks)), key=lambda place: (rows.index(_label(results, *networks[place])), networks[place])
    )
    return [
        (_label(results, *networks[place]), f"{networks[place][0][:4]} seed {networks[place][1]}") for place in keyed
    ], keyed


def _label(results: Results, cell: str, seed: int) -> str:
    """The first row that has a cell."""
    return next(row.name for row in results.rows if any(found.cell == cell for found in row.found))
