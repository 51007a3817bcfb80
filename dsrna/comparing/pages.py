"""The pages and files of a comparison, from its results."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from dsrna.comparing import formatting
from dsrna.comparing.figures import FIGURES
from dsrna.comparing.files import csv_text, latex_text
from dsrna.comparing.results import Results
from dsrna.comparing.table import ComparisonTable, table_of
from dsrna.comparing.transfer_figure import transfer_csv, transfer_sentences
from dsrna.files import write_bytes, write_text, writing_to
from dsrna.report.results import threat_text
from dsrna.report.style import pdf, svg
from dsrna.report.templates import render, script

PAGE = "table.html"


def redraw(folder: Path) -> Path:
    """Writes the pages of a comparison again, from its ``comparison.json``; returns the page."""
    return write_pages(Results.load(folder), folder)


def write_pages(results: Results, folder: Path) -> Path:
    """Writes ``table.html``, ``table.csv``, ``table.tex``, and ``figures/*.pdf`` and ``*.svg``.

    Returns:
        The page.

    Raises:
        ConfigError: the folder can't be written to.
    """
    table = table_of(results)
    figures = []
    with writing_to(folder):
        for name, (draw, caption) in FIGURES.items() if table.rows else ():
            figure = draw(table)
            if figure is None:
                continue
            picture = svg(figure)
            write_bytes(folder / "figures" / f"{name}.svg", picture)
            write_bytes(folder / "figures" / f"{name}.pdf", pdf(figure))
            figures.append((name, caption, base64.b64encode(picture).decode()))
        write_text(folder / "table.csv", csv_text(table))
        if (pairs := transfer_csv(results)) is not None:
            write_text(folder / "transfer.csv", pairs)
        write_text(folder / "table.tex", latex_text(table))
        write_text(folder / PAGE, page(table, figures))
    return folder / PAGE


def page(table: ComparisonTable, figures: list[tuple[str, str, str]]) -> str:
    """The page, with everything in it."""
    results, sorting = table.results, script("sorting.js")
    attacks = list(dict.fromkeys(label for row in table.rows for label in row.accuracies if label != "clean"))
    return render(
        "comparison.html",
        table=table,
        results=results,
        lead=[*formatting.lead(table), *transfer_sentences(results)],
        formatting=formatting,
        attacks=attacks,
        latencies=list(dict.fromkeys(size for row in table.rows for size in row.latency)),
        devices=sorted({cost.device for cost in results.costs.values() if cost.latency}),
        threat=threat_text(**results.threat),
        figures=figures,
        sorting=sorting,
        sorting_hash=base64.b64encode(hashlib.sha256(sorting.encode()).digest()).decode(),
    )
