"""The report of a ranking: what its folder holds, page, pictures, and the table for people and programs."""

from __future__ import annotations

import base64
import csv
import io
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsrna import query_documents
from dsrna.files import write_atomically, write_text, writing_to
from dsrna.json_files import read_document
from dsrna.report.style import ADVERSARIAL, CLEAN, INK, new_figure, png, tidy
from dsrna.report.templates import render
from dsrna.run_folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Coefficients = dict[str, np.ndarray]
"""``value``, ``low``, ``high`` -> (proxies, columns); NaN where there is none."""


@dataclass(frozen=True)
class Group:
    """The columns of one table: its title, how its networks were trained, positions of the columns."""

    benchmark: str
    training: str
    positions: list[int]


@dataclass(frozen=True)
class RankingData:
    """A finished ranking.

    Attributes:
        folder: where it lies.
        run: ``run.json``.
        dataset: of the tables.
        proxies: names.
        labels: of the columns.
        groups: the columns by table.
        scores: (proxies, architectures).
        accuracies: (columns, architectures).
        spearman, kendall: see :data:`Coefficients`.
    """

    folder: RunFolder
    run: dict[str, Any]
    dataset: str
    proxies: list[str]
    labels: list[str]
    groups: list[Group]
    scores: np.ndarray
    accuracies: np.ndarray
    spearman: Coefficients
    kendall: Coefficients

    @classmethod
    def read(cls, path: Path) -> RankingData:
        """Reads a run folder.

        Raises:
            CheckpointError: it isn't the folder of a finished ranking, or a file in it is damaged.
        """
        folder = RunFolder.open(path)
        document = read_document(folder.ranking_json, "dsrna.ranking", 1, query_documents.Ranking)
        records = folder.read_scores()
        groups: dict[str, Group] = {}
        for position, column in enumerate(document["columns"]):
            title = column["benchmark"]
            groups.setdefault(title, Group(title, column["training"], [])).positions.append(position)
        return cls(
            folder=folder,
            run=folder.read_run(),
            dataset=document["dataset"],
            proxies=document["proxies"],
            labels=[column["label"] for column in document["columns"]],
            groups=list(groups.values()),
            scores=np.array([[record["scores"][name] for record in records] for name in document["proxies"]]),
            accuracies=np.array([column["values"] for column in document["columns"]]),
            spearman=_coefficients(document["spearman"]),
            kendall=_coefficients(document["kendall"]),
        )

    def position(self, group: Group, *wanted: str) -> int:
        """The column of a table with the first of some labels that it has; the last column where it has none."""
        labels = {self.labels[position]: position for position in group.positions}
        return next((labels[label] for label in wanted if label in labels), group.positions[-1])


def _coefficients(rows: list[list[dict[str, float | None]]]) -> Coefficients:
    return {
        key: np.array([[math.nan if entry[key] is None else entry[key] for entry in row] for row in rows], dtype=float)
        for key in ("value", "low", "high")
    }


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


def write_ranking(folder: Path) -> Path:
    """Draws ``plots/*.png``, ``ranking.csv``, ``ranking.md`` and ``report.html`` from what a run folder holds.

    Returns:
        The page.

    Raises:
        CheckpointError: it isn't the folder of a finished ranking, or a file in it is damaged.
        ConfigError: the folder can't be written to.
    """
    data = RankingData.read(Path(folder))
    pictures = {"heat_map": png(draw_heat_map(data))}
    pictures |= {f"scatter_{name}": png(draw_scatter(data, place)) for place, name in enumerate(data.proxies)}
    target = data.folder
    with writing_to(target.path):
        for name, content in pictures.items():
            write_atomically(target.plots_dir / f"{name}.png", partial(_write, content))
        write_text(target.path / "ranking.csv", _csv(data))
        write_text(target.path / "ranking.md", _markdown(data))
        write_text(target.report_html, _page(data, pictures))
    return target.report_html


def _write(content: bytes, file: Any) -> None:
    file.write(content)


def _page(data: RankingData, pictures: dict[str, bytes]) -> str:
    return render(
        "ranking.html",
        name=data.folder.path.resolve().name,
        run=data.run,
        architectures=data.scores.shape[1],
        dataset=data.dataset,
        groups=data.groups,
        headlines=_headlines(data),
        rows=_headline_rows(data),
        labels=data.labels,
        proxies=data.proxies,
        cell=lambda kind, row, column: interval_text(getattr(data, kind), row, column),
        embed=lambda name: base64.b64encode(pictures[name]).decode(),
    )


def _headlines(data: RankingData) -> list[int]:
    """The column of each table that the short table and the scatter plots show."""
    return [data.position(group, *wanted) for group, wanted in zip(data.groups, HEADLINE_COLUMNS, strict=False)]


def _headline_rows(data: RankingData) -> list[tuple[int, str]]:
    """(position, name) of the proxies, the one that agrees best with the last table first."""
    last = _headlines(data)[-1]
    found = data.spearman["value"][:, last]
    order = sorted(range(len(data.proxies)), key=lambda row: -math.inf if math.isnan(found[row]) else found[row])
    return [(row, data.proxies[row]) for row in reversed(order)]


def interval_text(found: Coefficients, row: int, column: int) -> str:
    """``0.82 [0.79, 0.85]``, or ``none`` where there is no correlation."""
    value, low, high = (found[key][row, column] for key in ("value", "low", "high"))
    return "none" if math.isnan(value) else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _markdown(data: RankingData) -> str:
    """Spearman's correlations with the columns, one row a proxy."""
    titles = [f"{data.labels[place]} ({group.training})" for group in data.groups for place in group.positions]
    places = [place for group in data.groups for place in group.positions]
    lines = ["| proxy | " + " | ".join(titles) + " |", "|---" * (1 + len(titles)) + "|"]
    for row, name in enumerate(data.proxies):
        lines.append(f"| {name} | " + " | ".join(interval_text(data.spearman, row, place) for place in places) + " |")
    return "\n".join(lines) + "\n"


def _csv(data: RankingData) -> str:
    """One line a proxy and column, with both coefficients."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ends = ("value", "low", "high")
    coefficients = ("spearman", "kendall")
    names = [name if end == "value" else f"{name}_{end}" for name in coefficients for end in ends]
    writer.writerow(["proxy", "benchmark", "training", "column", "architectures", *names])
    for row, proxy in enumerate(data.proxies):
        for group in data.groups:
            for place in group.positions:
                found = [getattr(data, name)[end][row, place] for name in coefficients for end in ends]
                numbers = ["" if math.isnan(value) else f"{value:.4f}" for value in found]
                writer.writerow(
                    [proxy, group.benchmark, group.training, data.labels[place], data.scores.shape[1], *numbers]
                )
    return text.getvalue()
