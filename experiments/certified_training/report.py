"""The table of certified trainings, and the front of clean against certified accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

ONE_PARAMETER = ("sabr", "mtl_ibp", "cc_ibp")
"""Trainings that are drawn as a line over what mixes their terms."""


def report(lines: Sequence[dict[str, Any]], picture: Path | None) -> None:
    """Prints a row a network and training, means over seeds; a star where none is better in both accuracies."""
    console, table = (
        Console(width=140),
        Table("network", "training", "seeds", "clean", "certified", "withstands PGD", ""),
    )
    rows = means(lines)
    for row in rows:
        best = not any(dominates(other, row) for other in rows if other["network"] == row["network"])
        table.add_row(
            row["network"], row["training"], str(row["seeds"]),
            *(f"{100 * row[key]:.1f} %" for key in ("clean", "certified", "standing")), "*" if best else "",
        )  # fmt: skip
    for line in lines:
        if "failed" in line:
            console.print(f"{line['name']} failed: {line['failed']}")
    console.print(table)
    if picture is not None:
        draw(rows, picture)


def means(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in lines:
        if "failed" not in line:
            grouped.setdefault((line["network"], line["training"]), []).append(line)
    return [
        {"network": network, "training": training, "seeds": len(of)}
        | {key: float(np.mean([one[key] for one in of])) for key in ("clean", "certified", "standing")}
        for (network, training), of in grouped.items()
    ]


def dominates(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether one is no worse in both accuracies, and better in one."""
    pairs = [(one[key], other[key]) for key in ("clean", "certified")]
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def draw(rows: Sequence[dict[str, Any]], picture: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    networks = list(dict.fromkeys(row["network"] for row in rows))
    figure, axes = plt.subplots(1, len(networks), figsize=(6 * len(networks), 5), squeeze=False, layout="constrained")
    colours = {name: f"C{n}" for n, name in enumerate(dict.fromkeys(row["training"].partition(" ")[0] for row in rows))}
    for axis, network in zip(axes[0], networks, strict=True):
        for name, colour in colours.items():
            some = [r for r in rows if r["network"] == network and r["training"].partition(" ")[0] == name]
            some.sort(key=lambda row: row["training"])  # by what mixes the terms
            points = [(100 * row["clean"], 100 * row["certified"]) for row in some]
            if not points:
                continue
            axis.plot(*zip(*points, strict=True), "o-" if name in ONE_PARAMETER else "o", color=colour, label=name)
            for row, point in zip(some, points, strict=True):
                axis.annotate(row["training"].partition(" ")[2], point, textcoords="offset points", xytext=(5, 4))
        axis.set(title=network, xlabel="clean accuracy, %", ylabel="certified accuracy, %")
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(picture, dpi=120)
    plt.close(figure)
