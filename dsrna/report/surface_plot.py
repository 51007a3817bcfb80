"""The margin on planes through some images: along the gradient, and in a random direction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dsrna.report.results import threat_text
from dsrna.report.style import INK, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_surfaces(evaluation: dict[str, Any]) -> Figure | None:
    """A row of panels a network, one panel an image, zero margin as a line; None where none was looked at."""
    surfaces = {
        name: (network["title"], network["result"]["surface"])
        for name, network in evaluation["networks"].items()
        if network["result"].get("surface")
    }
    if not surfaces:
        return None
    most = max(len(surface["margins"]) for _, surface in surfaces.values())
    figure = new_figure(1.4 + 2.1 * most, 0.5 + 2.3 * len(surfaces))
    rows = figure.subplots(len(surfaces), most, squeeze=False)
    for panels, (name, (title, surface)) in zip(rows, surfaces.items(), strict=True):
        steps, margins = surface["steps"], np.array(surface["margins"])
        bound = max(float(np.abs(margins).max()), np.finfo(float).tiny)
        for place, axes in enumerate(panels):
            if place >= len(margins):
                axes.set_visible(False)
                continue
            drawn = axes.pcolormesh(
                steps, steps, margins[place], cmap="RdBu", vmin=-bound, vmax=bound, shading="nearest",
                gid=f"surface:{name}:{place}",
            )  # fmt: skip
            if margins[place].min() < 0 < margins[place].max():
                axes.contour(steps, steps, margins[place], levels=[0], colors=INK, linewidths=1)
            axes.plot(0, 0, "+", color=INK)
            axes.set_xticks([-1, 0, 1], ["-eps", "0", "eps"])
            axes.set_yticks([-1, 0, 1], ["-eps", "0", "eps"])
            axes.tick_params(labelsize=7.5, colors=INK, length=2)
            axes.set_xlabel("along the gradient", fontsize=8, color=INK)
            axes.set_aspect("equal")
        panels[0].set_ylabel("random direction", fontsize=8, color=INK)
        panels[0].set_title(
            f"{title}; {threat_text(surface['norm'], surface['eps'])}", loc="left", fontsize=8.5, color=INK
        )
        bar = figure.colorbar(drawn, ax=list(panels), aspect=24, pad=0.02)
        bar.set_label("margin", fontsize=8, color=INK)
        bar.ax.tick_params(labelsize=7.5, colors=INK)
    return figure
