"""Pictures of a ranking: a heat map of rank correlations, and scores against accuracies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsrna.report.ranking_data import RankingData
from dsrna.report.style import ADVERSARIAL, CLEAN, INK, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADLINE_COLUMNS = ("pgd 8/255", "pgd 3/255"), ("pgd 1/255", "pgd 0.5/255")
"""For the first and the second table: the column that scatter plots show, the first that is there."""


def draw_heat_map(data: RankingData) -> Figure:
    """Spearman's correlation of every proxy (rows) with every column; the tables side by side, one colour scale."""
    widths = [len(group.positions) for group in data.groups]
    figure = new_figure(2.0 + 0.36 * sum(widths), max(3.0, 1.8 + 0.3 * len(data.proxies)))
    every = np.atleast_1d(figure.subplots(1, len(data.groups), sharey=True, width_ratios=widths))
    for axes, group in zip(every, data.groups, strict=True):
        values = data.spearman["value"][:, group.positions]
        image = axes.imshow(values, cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
        axes.set_title(f"{group.benchmark}\n({group.training})", fontsize=9, color=INK)
        axes.set_xticks(range(values.shape[1]), [data.labels[p] for p in group.positions], rotation=60, ha="right")
        axes.set_yticks(range(len(data.proxies)), data.proxies)
        axes.tick_params(labelsize=8, colors=INK, length=0)
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                colour = "white" if abs(value) > 0.65 else INK
                text = f"{value:.2f}".replace("0.", ".")
                axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)
    bar = figure.colorbar(image, ax=list(every), aspect=30, pad=0.01)
    bar.set_label("Spearman's rank correlation", fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=8, colors=INK)
    return figure


def draw_scatter(data: RankingData, proxy: int) -> Figure:
    """One proxy's ranks against the accuracies of both tables, one point an architecture."""
    figure = new_figure(7.6, 3.3)
    every = np.atleast_1d(figure.subplots(1, len(data.groups)))
    scores = data.scores[proxy]
    # The mean rank of equal scores, as Spearman's correlation takes it.
    ranks = np.mean([np.sort(scores).searchsorted(scores, side) for side in ("left", "right")], axis=0) + 0.5
    for axes, group, wanted, colour in zip(every, data.groups, HEADLINE_COLUMNS, (ADVERSARIAL, CLEAN), strict=False):
        column = data.position(group, *wanted)
        axes.scatter(ranks, 100 * data.accuracies[column], s=9, alpha=0.55, color=colour, linewidths=0)
        found = {key: values[proxy, column] for key, values in data.spearman.items()}
        axes.set_title(
            f"{group.training}: \u03c1 = {found['value']:.2f} [{found['low']:.2f}, {found['high']:.2f}]",
            fontsize=9,
            color=INK,
        )
        tidy(axes, x=f"rank by {data.proxies[proxy]} (right is better)", y=f"{data.labels[column]} accuracy, %")
    return figure
