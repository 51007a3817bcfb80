"""Draws a cell of a genotype: inputs at the left, nodes, output at the right, every edge with its operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dsrna.report.layered_layout import Layout, layered_layout
from dsrna.report.style import INK, MUTED, new_figure, operation_colours, text_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INPUT_NAMES = {1: ("input",), 2: ("c\u2096\u208b\u2082", "c\u2096\u208b\u2081")}
"""Names of a cell's inputs, by how many it has."""
OUTPUT = "output"

# Inches; the text is 9 points high, so that "sep_conv_3x3" fits its box.
BOX_HEIGHT = 0.31
BOX_GAP = 0.13
COLUMN_GAP = 0.5
MARGIN = 0.12
TITLE = 0.35
INPUT_WIDTH, OPERATION_WIDTH, NODE_WIDTH, OUTPUT_WIDTH = 0.55, 1.14, 0.31, 0.66


@dataclass(frozen=True)
class _Column:
    left: float
    right: float


def edge_name(source: int, target: int, inputs: int) -> str:
    """An edge as people read it.

    >>> edge_name(2, 3, inputs=2)
    '2 \u2192 3'
    """
    return f"{INPUT_NAMES[inputs][source] if source < inputs else source} \u2192 {target}"


def draw_cell(cell: dict[str, Any], title: str) -> Figure:
    """A figure of ``cell``: ``{"nodes": [[["sep_conv_3x3", 0], ["skip_connect", 1]], …], "concat": [2, 3, …]}``.

    Nodes carry their number in the genotype (the inputs come first). Operations are boxes of their own, in front of
    the node they lead to, so that no label can lie on another. Artists have ids to find them by: ``node:2``,
    ``operation:2:0`` (first input of node 2), ``edge:0->2:0`` and ``concat:2``.
    """
    nodes: list[list[tuple[str, int]]] = [[(name, source) for name, source in node] for node in cell["nodes"]]
    first = 1 + max(source for _, source in nodes[0])  # the first node can only read the cell's inputs
    depths = [0] * first
    for node in nodes:
        depths.append(1 + max((depths[source] for _, source in node), default=0))

    # Columns alternate: inputs, operations, nodes, operations, nodes, …, output.
    layers: list[list[str]] = [[] for _ in range(2 * max(depths) + 2)]
    layers[0] = [str(index) for index in range(first)]
    layers[-1] = [OUTPUT]
    edges: list[tuple[str, str]] = []
    operations: dict[str, str] = {}
    for index, node in enumerate(nodes, start=first):
        layers[2 * depths[index]].append(str(index))
        for number, (operation, source) in enumerate(node):
            box = f"{index}:{number}"
            operations[box] = operation
            layers[2 * depths[index] - 1].append(box)
            edges += [(str(source), box), (box, str(index))]
    edges += [(str(index), OUTPUT) for index in cell["concat"]]

    boxes = [box for layer in layers for box in layer]
    layout = layered_layout(layers, edges, dict.fromkeys(boxes, BOX_HEIGHT), BOX_GAP)
    return _draw(title, layers, layout, operations)


def _draw(title: str, layers: Sequence[Sequence[str]], layout: Layout, operations: dict[str, str]) -> Figure:
    columns = _columns(len(layers))
    every_height = [*layout.y.values(), *(height for route in layout.routes.values() for _, height in route)]
    height = max(every_height) + BOX_HEIGHT / 2
    figure = new_figure(columns[-1].right + MARGIN, height + TITLE + 2 * MARGIN)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, columns[-1].right + MARGIN)
    axes.set_ylim(-MARGIN, height + TITLE + MARGIN)
    axes.text(MARGIN, height + TITLE / 2 + MARGIN / 2, title, fontsize=11, fontweight="bold", color=INK, va="center")

    colours = operation_colours(operations.values())
    for (source, target), route in layout.routes.items():
        if target == OUTPUT:
            _line(axes, columns, route, colour=MUTED, dashed=True, arrow=True, gid=f"concat:{source}")
        elif target in operations:
            index, number = target.split(":")
            _line(axes, columns, route, colour=colours[operations[target]], gid=f"edge:{source}->{index}:{number}")
        else:
            _line(axes, columns, route, colour=colours[operations[source]], arrow=True)
    for layer, layer_boxes in enumerate(layers):
        for box in layer_boxes:
            if box in operations:
                colour = colours[operations[box]]
                _box(axes, columns[layer], layout.y[box], operations[box], colour, gid=f"operation:{box}")
            else:
                label = INPUT_NAMES[len(layers[0])][int(box)] if layer == 0 else box
                _box(axes, columns[layer], layout.y[box], label, "#eef1f4", gid=f"node:{box}", outlined=True)
    return figure


def _columns(count: int) -> list[_Column]:
    inner = [OPERATION_WIDTH if number % 2 else NODE_WIDTH for number in range(1, count - 1)]
    columns, left = [], MARGIN
    for width in (INPUT_WIDTH, *inner, OUTPUT_WIDTH):
        columns.append(_Column(left, left + width))
        left += width + COLUMN_GAP
    return columns


def _box(axes: Axes, column: _Column, y: float, label: str, colour: str, *, gid: str, outlined: bool = False) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(
        FancyBboxPatch(
            (column.left, y - BOX_HEIGHT / 2),
            column.right - column.left,
            BOX_HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.07",
            facecolor=colour,
            edgecolor=MUTED if outlined else colour,
            linewidth=1,
            zorder=3,
        )
    )
    axes.text(
        (column.left + column.right) / 2,
        y,
        label,
        ha="center",
        va="center_baseline",
        fontsize=9,
        color=text_colour(colour),
        gid=gid,
        zorder=4,
    )


def _line(
    axes: Axes,
    columns: list[_Column],
    route: list[tuple[int, float]],
    *,
    colour: str,
    gid: str | None = None,
    dashed: bool = False,
    arrow: bool = False,
) -> None:
    """A line from the first to the last stop of ``route``: level across columns, curved between them."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    layer, y = route[0]
    x = columns[layer].right
    points, codes = [(x, y)], [Path.MOVETO]
    for stop, next_y in route[1:]:
        next_x = columns[stop].left
        middle = (x + next_x) / 2
        points += [(middle, y), (middle, next_y), (next_x, next_y)]
        codes += [Path.CURVE4] * 3
        x, y = columns[stop].right, next_y
        if stop != route[-1][0]:
            points.append((x, y))
            codes.append(Path.LINETO)
    axes.add_patch(
        FancyArrowPatch(
            path=Path(points, codes),
            arrowstyle="-|>,head_length=5,head_width=2.5" if arrow else "-",
            color=colour,
            linewidth=1.0 if dashed else 1.7,
            linestyle=(0, (4, 3)) if dashed else "-",
            gid=gid,
            zorder=1 if dashed else 2,
        )
    )
