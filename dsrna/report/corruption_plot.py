"""Accuracy under every corruption at every severity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dsrna.report.style import INK, new_figure, text_colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_corruptions(evaluation: dict[str, Any]) -> Figure | None:
    """One heat map a network, corruptions by severities, on one colour scale; None when nothing was corrupted."""
    from matplotlib.colors import to_hex

    networks = {name: network for name, network in evaluation["networks"].items() if network.get("corruptions")}
    if not networks:
        return None
    records = next(iter(networks.values()))["corruptions"]["records"]
    names = list(dict.fromkeys(record["corruption"] for record in records))
    severities = sorted({record["severity"] for record in records})
    figure = new_figure(1.8 + (0.6 + 0.45 * len(severities)) * len(networks), 1.1 + 0.24 * len(names))
    panels = figure.subplots(1, len(networks), sharey=True, squeeze=False)[0]
    for axes, (name, network) in zip(panels, networks.items(), strict=True):
        values = np.full((len(names), len(severities)), np.nan)
        for record in network["corruptions"]["records"]:
            values[names.index(record["corruption"]), severities.index(record["severity"])] = record["accuracy"]
        image = axes.imshow(values, cmap="viridis", vmin=0, vmax=1, aspect="auto", gid=f"corruptions:{name}")
        axes.set_title(network["title"], fontsize=9, color=INK)
        axes.set_xticks(range(len(severities)), [str(severity) for severity in severities])
        axes.set_yticks(range(len(names)), [corruption.replace("_", " ") for corruption in names])
        axes.set_xlabel("severity", fontsize=8.5, color=INK)
        axes.tick_params(labelsize=8, colors=INK, length=0)
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                colour = text_colour(to_hex(image.to_rgba(value)))
                axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7, color=colour)
    return figure
