"""What is certified, attacked and undecided, against the size of the perturbation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dsrna.report.eps_axis import EpsAxis
from dsrna.report.style import ADVERSARIAL, CERTIFIED, RULE, new_figure, percent_axis, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_certified(evaluation: dict[str, Any]) -> Figure | None:
    """One panel a network: two curves, with the undecided images between; None when no curve was measured."""
    networks = {
        name: network
        for name, network in evaluation["networks"].items()
        if network.get("verification") and network["verification"]["curve"]
    }
    if not networks:
        return None
    figure = new_figure(max(5.2, 3.6 * len(networks)), 3.6)
    panels = figure.subplots(1, len(networks), sharey=True, squeeze=False)[0]
    for axes, (name, network) in zip(panels, networks.items(), strict=True):
        _draw(axes, name, network, evaluation["threat"])
        axes.label_outer()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8.5, frameon=False)
    return figure


def _draw(axes: Axes, name: str, network: dict[str, Any], threat: dict[str, Any]) -> None:
    verification = network["verification"]
    curve = verification["curve"]
    is_the_reports = verification["norm"] == threat["norm"]
    radii = [point["eps"] for point in curve]
    eps_axis = EpsAxis.of(verification["norm"], [*radii, threat["eps"]] if is_the_reports else radii)
    correct = verification["correct"] / verification["images"]
    eps = [0.0, *(radius * eps_axis.scale for radius in radii)]
    certified = [correct, *(point["certified"] for point in curve)]
    standing = [correct, *(point["standing"] for point in curve)]
    axes.fill_between(eps, certified, standing, color=RULE, linewidth=0, label="undecided", gid=f"undecided:{name}")
    attack = verification["attack"]["label"]
    style: dict[str, Any] = {"linewidth": 2, "marker": "o", "markersize": 4}
    axes.plot(eps, standing, color=ADVERSARIAL, label=f"stays correct under {attack}", gid=f"attacked:{name}", **style)
    axes.plot(eps, certified, color=CERTIFIED, label="certified", gid=f"certified:{name}", **style)
    if is_the_reports:
        eps_axis.mark(axes, threat["eps"])
    tidy(axes, title=network["title"], x=eps_axis.label, y=f"share of {verification['images']:,} test images")
    percent_axis(axes)
    axes.set_xlim(left=0)
