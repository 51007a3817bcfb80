"""The report of searches by queries: what their folder holds, page and pictures."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from dsrna import query_documents
from dsrna.files import write_atomically, write_text, writing_to
from dsrna.json_files import read_document
from dsrna.report.style import INK, MUTED, add_legend, log_counts, new_figure, png, tidy
from dsrna.report.templates import render
from dsrna.run_folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


OBJECTIVES = "objectives"


@dataclass(frozen=True)
class QueryData:
    """Finished searches.

    Attributes:
        folder: where they lie.
        run: ``run.json``.
        document: ``query.json``.
    """

    folder: RunFolder
    run: dict[str, Any]
    document: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> QueryData:
        """Reads a run folder.

        Raises:
            CheckpointError: it isn't the folder of finished searches, or a file in it is damaged.
        """
        folder = RunFolder.open(path)
        return cls(folder, folder.read_run(), read_document(folder.query_json, "dsrna.query", 1, query_documents.Query))

    @property
    def methods(self) -> list[str]:
        """Methods for one objective."""
        return list(dict.fromkeys(entry["method"] for entry in self.document["searches"]))

    @property
    def guides(self) -> list[str]:
        """What guided them."""
        return list(dict.fromkeys(entry["guide"] for entry in self.document["searches"]))

    def search(self, method: str, guide: str) -> dict[str, Any]:
        """The searches of one method by one guide."""
        found: dict[str, Any] = next(
            entry for entry in self.document["searches"] if (entry["method"], entry["guide"]) == (method, guide)
        )
        return found


def number_text(value: float, kind: str) -> str:
    """An accuracy as per cent, a size in millions, another number as it is.

    >>> number_text(0.4811, "accuracy"), number_text(-1_531_546, "size"), number_text(12.3456, "proxy")
    ('48.11', '1.53', '12.35')
    """
    scaled = shown(value, kind)
    return f"{scaled:.2f}" if kind != "proxy" or 0.1 <= abs(scaled) < 1e5 or scaled == 0 else f"{scaled:.3g}"


def spread_text(spread: dict[str, float] | None, kind: str) -> str:
    """``47.10 ± 0.30``, or ``none``."""
    if spread is None:
        return "none"
    deviation = number_text(spread["std"], kind).removeprefix("-")
    return f"{number_text(spread['mean'], kind)} ± {deviation}"


def shown(value: float, kind: str) -> float:
    """The number in the unit of the report: per cent, millions, or its own."""
    if kind == "accuracy":
        return 100 * value
    return -value / 1e6 if kind == "size" else value


def axis_text(name: str, kind: str) -> str:
    """A column's name with its unit."""
    return name + {"accuracy": ", %", "size": ", millions"}.get(kind, "")


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
    """:func:`dsrna.querying.report.shown` of every entry."""
    return np.array([shown(value, kind) for value in values.tolist()])


def _pair(points: list[list[float]], columns: list[dict[str, str]], x: int, y: int) -> tuple[np.ndarray, np.ndarray]:
    one, other = (_shown_array(np.array(points[place]), columns[place]["kind"]) for place in (x, y))
    return one, other


def _colours(count: int) -> list[str]:
    return [_COLOURS[place % len(_COLOURS)] for place in range(count)]


def write_query(folder: Path) -> Path:
    """Draws ``plots/*.png`` and ``report.html`` from what a run folder holds.

    Returns:
        The page.

    Raises:
        CheckpointError: it isn't the folder of finished searches, or a file in it is damaged.
        ConfigError: the folder can't be written to.
    """
    data = QueryData.read(Path(folder))
    pictures: dict[str, bytes] = {}
    if data.document["searches"]:
        pictures["curves"] = png(draw_curves(data))
    if data.document["front"] is not None:
        pictures["fronts"] = png(draw_fronts(data))
        pictures["hypervolumes"] = png(draw_hypervolumes(data))
    target = data.folder
    with writing_to(target.path):
        for name, content in pictures.items():
            write_atomically(target.plots_dir / f"{name}.png", partial(_write, content))
        write_text(target.report_html, _page(data, pictures))
    return target.report_html


def _write(content: bytes, file: IO[bytes]) -> None:
    file.write(content)


def _page(data: QueryData, pictures: dict[str, bytes]) -> str:
    document = data.document
    return render(
        "query.html",
        name=data.folder.path.resolve().name,
        folder=data.folder.path,
        run=data.run,
        document=document,
        search=data.search,
        number=number_text,
        spread=spread_text,
        last=lambda spread: None if spread is None else {key: values[-1] for key, values in spread.items()},
        share=lambda spread: {key: values[-1] / document["front"]["hypervolume"] for key, values in spread.items()},
        methods=data.methods,
        guides=data.guides,
        has_genotype=data.folder.genotype_json.exists(),
        pictures=pictures,
        embed=lambda name: base64.b64encode(pictures[name]).decode(),
    )
