"""Colours and figures that all pictures share."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1f2933"
MUTED = "#7b8794"
RULE = "#d9dee3"

CLEAN = "#0072b2"
ADVERSARIAL = "#d1495b"
CERTIFIED = "#00795c"
NETWORK_COLOURS = {"retrain": "#0072b2", "certified": "#009e73", "baseline": "#d55e00"}

# Distinguishable with the common colour blindnesses; convolutions of one family share a hue.
OPERATION_COLOURS = {
    "none": "#c3c9d0",
    "skip_connect": "#bf3b32",
    "max_pool_3x3": "#e69f00",
    "avg_pool_3x3": "#f0d35a",
    "sep_conv_3x3": "#0a5fa5",
    "sep_conv_5x5": "#5fb1e6",
    "dil_conv_3x3": "#00795c",
    "dil_conv_5x5": "#79c9a8",
}
OTHER_COLOURS = ("#7b4fa3", "#c77dba", "#8c6d46", "#5a6b7b")


def operation_colours(operations: Iterable[str]) -> dict[str, str]:
    """Operation -> colour; an operation that has no fixed colour gets one by its position."""
    colours: dict[str, str] = {}
    for operation in operations:
        others = sum(name not in OPERATION_COLOURS for name in colours)
        colours[operation] = OPERATION_COLOURS.get(operation, OTHER_COLOURS[others % len(OTHER_COLOURS)])
    return colours


def text_colour(background: str) -> str:
    """Black or white, whichever reads better on ``background`` (relative luminance of ITU-R BT.709)."""
    red, green, blue = (int(background[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return "#ffffff" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5 else INK


def new_figure(width: float, height: float) -> Figure:
    """A white figure of ``width`` x ``height`` inches that knows how to draw itself, outside pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = Figure(figsize=(width, height), facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """The house style of a plot: title at the left, light grid, no box."""
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=INK)
    axes.set_xlabel(x, fontsize=9, color=INK)
    axes.set_ylabel(y, fontsize=9, color=INK)
    axes.tick_params(labelsize=8.5, colors=INK, length=3)
    axes.grid(color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(MUTED)


def add_legend(axes: Axes) -> None:
    """A legend where it hides least, with a paper ground, so that lines under it don't cross its text."""
    axes.legend(fontsize=8.5, loc="best", framealpha=0.85, edgecolor="none")


def whole_numbers(axes: Axes) -> None:
    """Ticks at whole numbers only, as epochs are."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))


def log_counts(axes: Axes) -> None:
    """A logarithmic x axis of counts, labelled with the numbers themselves."""
    from matplotlib.ticker import LogFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(LogFormatter())
    axes.xaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False))


def log_decades(axes: Axes) -> None:
    """A logarithmic x axis of any values, labelled at powers of ten."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def percent_axis(axes: Axes) -> None:
    """The y axis shows fractions in [0, 1] as per cent."""
    from matplotlib.ticker import PercentFormatter

    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))


def png(figure: Figure) -> bytes:
    """The figure as PNG, at twice the density it is shown at, so that it is sharp on good screens and on paper.

    A ``$`` is a ``$``: texts hold names that people chose, so that none of them is read as mathematics.
    """
    return _saved(figure, "png", {"Software": None})


def pdf(figure: Figure) -> bytes:
    """The figure as PDF with its fonts embedded as outlines of characters (type 42), as publishers want them."""
    return _saved(figure, "pdf", {"CreationDate": None, "Creator": None, "Producer": None})


def svg(figure: Figure) -> bytes:
    """The figure as SVG, its texts drawn, so that it looks the same without the fonts."""
    return _saved(figure, "svg", {"Date": None, "Creator": None})


def _saved(figure: Figure, form: str, metadata: dict[str, str | None]) -> bytes:
    from matplotlib import rc_context
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
    buffer = io.BytesIO()
    fonts: dict[Any, Any] = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "dsrna"}
    with rc_context({"text.parse_math": False, **fonts}):  # for texts that are made while drawing
        figure.savefig(buffer, format=form, dpi=192, metadata=metadata)
    return buffer.getvalue()
