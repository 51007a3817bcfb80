"""The result of searches by queries as tables on the console."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from dsrna.console import output
from dsrna.querying.report import number_text, spread_text

_FILE_WIDTH = 140
"""Characters a line where the output is no terminal."""


def show_searches(document: dict[str, Any]) -> None:
    """Prints what searches found, means and standard deviations over repeats."""
    console = output()
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    judges = document["judges"]
    if document["searches"]:
        table = Table(title=f"Found with {document['budget']} queries, mean and deviation of {document['repeats']}")
        table.add_column("method")
        table.add_column("guided by")
        for judge in judges:
            table.add_column(judge["name"], justify="right")
        if not judges:
            table.add_column("best score", justify="right")
        for entry in document["searches"]:
            cells = [spread_text(entry["judged"][judge["name"]], judge["kind"]) for judge in judges]
            if not judges:
                guided = entry["guided"]
                last = {key: values[-1] for key, values in guided.items()} if guided else None
                cells = [spread_text(last, "proxy")]
            table.add_row(entry["method"], entry["guide"], *cells)
        if judges:
            table.add_row("best in the table", "", *(number_text(judge["best"], judge["kind"]) for judge in judges))
        console.print(table)
    if document["fronts"]:
        table = Table(title="Fronts of several objectives")
        for name in ("method", "objectives", "points", "share of the best hypervolume, %"):
            table.add_column(name, justify="left" if name in ("method", "objectives") else "right")
        for entry in document["fronts"]:
            volume, share = entry["hypervolume"], None
            if volume is not None:
                best = document["front"]["hypervolume"]
                share = {key: values[-1] / best for key, values in volume.items()}
            size = spread_text(entry["size"], "proxy")
            table.add_row(entry["method"], ", ".join(entry["objectives"]), size, spread_text(share, "accuracy"))
        console.print(table)
