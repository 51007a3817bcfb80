"""The derived cell among random cells of the same supernet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dsrna.report.style import ADVERSARIAL, CLEAN, INK, MUTED, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TITLES = {"objective_accuracy": "accuracy under attack", "accuracy": "accuracy", "loss": "loss"}


def draw_random_cells(evidence: dict[str, Any]) -> Figure | None:
    """One panel a number: a histogram of the random cells', and a line at the derived cell's."""
    found = evidence["random_cells"]
    if found is None:
        return None
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    keys = [key for key in _TITLES if key in found]
    figure = new_figure(3.6 * len(keys), 2.7)
    for axes, key in zip(figure.subplots(1, len(keys), squeeze=False)[0], keys, strict=True):
        values, own = [score[key] for score in found["random"]], found["derived"][key]
        counts, _, _ = axes.hist(values, bins=min(16, max(4, len(values) // 4)), color=CLEAN, alpha=0.55)
        axes.axvline(own, color=ADVERSARIAL, linewidth=2, gid=f"derived:{key}")
        rank = f"rank {found[key]['rank']} of {found[key]['count'] + 1}"
        axes.set_ylim(0, 1.25 * max(counts))
        axes.set_title(rank, loc="right", fontsize=8.5, color=MUTED)
        better = "lower is better" if key == "loss" else "higher is better"
        tidy(axes, title=_TITLES[key], x=better, y="random cells")
        if key != "loss":
            axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
            axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
        axes.annotate(
            "derived", (own, 1), xycoords=("data", "axes fraction"), xytext=(4, -12), textcoords="offset points",
            fontsize=8.5, color=INK,
        )  # fmt: skip
    return figure
