"""Robust accuracy against the size of the perturbation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dsrna.report.eps_axis import EpsAxis
from dsrna.report.masking import guessing_of
from dsrna.report.style import MUTED, NETWORK_COLOURS, OTHER_COLOURS, add_legend, new_figure, percent_axis, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_robustness(evaluation: dict[str, Any]) -> Figure | None:
    """One line a network with the band of its intervals; None when no curve was measured.

    The clean accuracy is the point at eps 0. A vertical line marks the report's eps, a dotted one guessing.
    """
    networks = {name: network for name, network in evaluation["networks"].items() if network["result"].get("curve")}
    if not networks:
        return None
    threat = evaluation["threat"]
    every_eps = [record["eps"] for network in networks.values() for record in network["result"]["curve"]]
    eps_axis = EpsAxis.of(threat["norm"], [*every_eps, threat["eps"]])

    figure = new_figure(7.2, 4.0)
    axes = figure.subplots()
    for position, (name, network) in enumerate(networks.items()):
        result = network["result"]
        points = {record["eps"]: record for record in (_at_zero(result["clean"]), *result["curve"])}
        records = [points[eps] for eps in sorted(points)]
        eps = [record["eps"] * eps_axis.scale for record in records]
        colour = NETWORK_COLOURS.get(name, OTHER_COLOURS[position % len(OTHER_COLOURS)])
        lower, upper = zip(*(record["interval"] for record in records), strict=True)
        axes.fill_between(eps, lower, upper, color=colour, alpha=0.16, linewidth=0, gid=f"band:{name}")
        accuracy = [record["accuracy"] for record in records]
        axes.plot(eps, accuracy, color=colour, linewidth=2, marker="o", markersize=4, label=network["title"], gid=name)
    eps_axis.mark(axes, threat["eps"])
    guessing = guessing_of(next(iter(networks.values()))["result"])
    axes.axhline(guessing, color=MUTED, linewidth=1, linestyle=(0, (1, 2)), label="guessing", gid="guessing")
    label = next(iter(networks.values()))["result"]["curve"][0]["label"]
    tidy(axes, x=eps_axis.label, y=f"accuracy under {label}")
    percent_axis(axes)
    axes.set_xlim(left=0)
    add_legend(axes)
    return figure


def _at_zero(clean: dict[str, Any]) -> dict[str, Any]:
    return {**clean, "eps": 0.0}
