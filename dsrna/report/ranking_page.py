"""The report of a ranking: page, pictures, and the table for people and programs."""

from __future__ import annotations

import base64
import csv
import io
import math
from functools import partial
from pathlib import Path
from typing import Any

from dsrna.files import write_atomically, write_text, writing_to
from dsrna.report.ranking_data import Coefficients, RankingData
from dsrna.report.ranking_plots import HEADLINE_COLUMNS, draw_heat_map, draw_scatter
from dsrna.report.style import png
from dsrna.report.templates import render


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
