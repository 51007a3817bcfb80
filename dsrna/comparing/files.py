"""The table for programs (CSV) and for papers (LaTeX with booktabs)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from dsrna.comparing.formatting import count, is_different, points, with_deviation
from dsrna.comparing.intervals import Spread
from dsrna.comparing.table import ComparisonTable, TableRow

_ESCAPES = {
    "\\": r"\textbackslash{}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def csv_text(table: ComparisonTable) -> str:
    """One line a row, numbers as they are: accuracies in [0, 1], times in seconds, latencies in milliseconds."""
    lines = [dict(_entries(row)) for row in table.rows]
    keys = list(dict.fromkeys(key for line in lines for key in line))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(keys)
    writer.writerows([["" if (value := line.get(key)) is None else value for key in keys] for line in lines])
    return text.getvalue()


def _entries(row: TableRow) -> Iterator[tuple[str, Any]]:
    yield from {"row": row.row.name, "kind": row.row.kind, "about": row.row.about, "runs missing": row.missing}.items()
    yield from {"cells": row.robust.cells, "networks": row.robust.networks}.items()
    yield from _of_spread("robust", row.robust)
    for label, spread in row.accuracies.items():
        yield from _of_spread(label, spread)
    test = row.test
    difference = None if test is None else test.difference
    yield "difference", None if difference is None else difference.value
    yield "difference low", None if difference is None else difference.interval[0]
    yield "difference high", None if difference is None else difference.interval[1]
    for key in ("p_seeds", "holm_seeds", "p_images", "holm_images"):
        yield key.replace("_", " "), None if test is None else getattr(test, key)
    yield from {"parameters": row.parameters, "multiply-adds": row.multiply_adds}.items()
    yield from ((f"latency of {size}, ms", value) for size, value in row.latency.items())
    yield from {"search, s": row.search_seconds, "training, s": row.training_seconds}.items()
    residual = row.residual
    yield "residual", None if residual is None else residual.value
    yield "residual low", None if residual is None else residual.interval[0]
    yield "residual high", None if residual is None else residual.interval[1]
    yield from {"on the front": int(row.on_front), "volume of its own": row.share}.items()


def _of_spread(label: str, spread: Spread) -> Iterator[tuple[str, Any]]:
    yield f"{label}, mean", spread.mean
    yield f"{label}, sd", spread.deviation
    low, high = spread.interval or (None, None)
    yield from {f"{label}, low": low, f"{label}, high": high}.items()


def latex_text(table: ComparisonTable) -> str:
    """A table for a paper: means and standard deviations in per cent, the best in bold."""
    best_robust = max((row.robust.mean for row in table.rows), default=0.0)
    best_clean = max((row.accuracies["clean"].mean for row in table.rows), default=0.0)
    lines = [
        "% needs \\usepackage{booktabs}; accuracies in %, mean $\\pm$ standard deviation over networks",
        f"% * differs from {table.results.reference} (paired t-test over training seeds, Holm, p < 0.05)",
        "\\begin{tabular}{lrrrrr}",
        "\\toprule",
        "Method & Clean & Worst case & Residual & Parameters & Multiply-adds \\\\",
        "\\midrule",
    ]
    for row in table.rows:
        clean = row.accuracies["clean"]
        cells = [
            escaped(row.row.name),
            _bold(with_deviation(clean, "$\\pm$"), clean.mean == best_clean),
            _bold(with_deviation(row.robust, "$\\pm$"), row.robust.mean == best_robust)
            + ("*" if is_different(row) else ""),
            "--" if row.residual is None else f"${points(row.residual.value)}$",
            count(row.parameters),
            count(row.multiply_adds),
        ]
        lines.append(" & ".join(cells) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def escaped(text: str) -> str:
    """The text as LaTeX prints it.

    >>> escaped("PC_DARTS 100%")
    'PC\\\\_DARTS 100\\\\%'
    """
    return "".join(_ESCAPES.get(character, character) for character in text)


def _bold(text: str, is_best: bool) -> str:
    return f"\\textbf{{{text}}}" if is_best else text
