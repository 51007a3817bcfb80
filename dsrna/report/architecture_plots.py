"""How the operation weights moved during the search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from dsrna.report.cell_drawing import edge_name
from dsrna.report.movement import derived_operations
from dsrna.report.style import INK, MUTED, add_legend, new_figure, operation_colours, tidy, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_edges(architecture: dict[str, Any], cell: str) -> Figure:
    """One panel an edge (row: the node it leads to, column: where it comes from): its operation weights over epochs.

    Edges of the derived genotype of the last epoch are in full colour, framed in the colour of their operation; the
    number in a panel's corner is the edge weight, where the strategy has edge weights.
    """
    primitives: list[str] = architecture["primitives"]
    edges: list[tuple[int, int]] = [tuple(edge) for edge in architecture["cells"][cell]["edges"]]
    epochs: list[dict[str, Any]] = architecture["epochs"]
    colours = operation_colours(primitives)
    targets = sorted({target for _, target in edges})
    inputs = targets[0]  # nodes are numbered after the cell's inputs
    derived = derived_operations(epochs[-1]["genotype"], cell, edges)
    sources = sorted({source for source, _ in edges})

    figure = new_figure(max(1.3 * len(sources), 4.5), 1.1 * len(targets) + 0.6)
    grid = figure.subplots(len(targets), len(sources), squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    x = _bounds([record["epoch"] for record in epochs])
    for number, (source, target) in enumerate(edges):
        axes = grid[targets.index(target)][sources.index(source)]
        weights = [record["weights"][cell]["operations"][number] for record in epochs]
        operation = derived.get((source, target))
        _stack(axes, x, weights, [colours[name] for name in primitives], pale=operation is None)
        _frame(axes, edge_name(source, target, inputs), colours[operation] if operation else None)
        edge_weights = epochs[-1]["weights"][cell].get("edges")
        if edge_weights is not None:
            axes.set_title(f"{edge_weights[number]:.2f}", loc="right", fontsize=7.5, color=MUTED, pad=5)
    figure.supxlabel(f"epoch {epochs[0]['epoch']} to {epochs[-1]['epoch']} in every panel", fontsize=8.5, color=MUTED)
    _legend(grid[0][-1], colours, primitives, place="upper right")
    return figure


def draw_architecture(architecture: dict[str, Any]) -> Figure:
    """Per cell: mean operation weight over the edges, entropy, and what would have been derived at each epoch."""
    primitives: list[str] = architecture["primitives"]
    cells = list(architecture["cells"])
    records: list[dict[str, Any]] = architecture["epochs"]
    epochs = [record["epoch"] for record in records]
    colours = operation_colours(primitives)

    figure = new_figure(3.3 * (len(cells) + 1), 5.2)
    grid = figure.subplots(2, len(cells) + 1, squeeze=False)
    for column, cell in enumerate(cells):
        upper, lower = grid[0][column], grid[1][column]
        for position, operation in enumerate(primitives):
            means = [_mean([row[position] for row in record["weights"][cell]["operations"]]) for record in records]
            upper.plot(epochs, means, color=colours[operation], linewidth=1.8, marker=_marker(epochs), label=operation)
        tidy(upper, title=f"{_cell_title(cell)}: mean weight", x="epoch")
        counts = [[record["operation_counts"][cell].get(name, 0) for name in primitives] for record in records]
        _stack(lower, _bounds(epochs), counts, [colours[name] for name in primitives])
        tidy(lower, title=f"{_cell_title(cell)}: derived operations", x="epoch", y="edges")
        lower.grid(visible=False)
        for axes in (upper, lower):
            whole_numbers(axes)

    entropy = grid[0][-1]
    for cell, style in zip(cells, ("-", "--", ":", "-.") * len(cells), strict=False):
        values = [record["entropy"][cell] for record in records]
        entropy.plot(
            epochs, values, color=INK, linestyle=style, linewidth=1.8, marker=_marker(epochs), label=_cell_title(cell)
        )
    entropy.axhline(math.log(len(primitives)), color=MUTED, linewidth=1, linestyle=(0, (1, 2)), label="all equal")
    tidy(entropy, title="entropy of operation weights", x="epoch", y="nats")
    whole_numbers(entropy)
    add_legend(entropy)
    grid[1][-1].set_axis_off()
    _legend(grid[1][-1], colours, primitives, place="upper left")
    return figure


def _bounds(epochs: Sequence[int]) -> list[float]:
    """Where each epoch's bar begins and ends: half an epoch before and after it."""
    return [epoch + side for epoch in epochs for side in (-0.5, 0.5)]


def _stack(
    axes: Axes, x: Sequence[float], rows: Sequence[Sequence[float]], colours: list[str], *, pale: bool = False
) -> None:
    """Stacked steps: one column of ``rows`` a layer, one row an epoch."""
    steps = [row for row in rows for _ in (0, 1)]
    axes.stackplot(x, list(zip(*steps, strict=True)), colors=colours, alpha=0.28 if pale else 1.0, linewidth=0)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(0, max(sum(row) for row in rows))


def _frame(axes: Axes, title: str, colour: str | None) -> None:
    axes.set_axis_on()
    axes.set_xticks([])
    axes.set_yticks([])
    weight = "bold" if colour else "normal"
    axes.set_title(title, loc="left", fontsize=8.5, color=INK if colour else MUTED, fontweight=weight, pad=5)
    for spine in axes.spines.values():
        spine.set_color(colour or "#ffffff")
        spine.set_linewidth(2.5 if colour else 0)


def _legend(
    axes: Axes, colours: dict[str, str], primitives: Sequence[str], *, place: Literal["upper left", "upper right"]
) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=colours[name], label=name) for name in primitives]
    legend = axes.legend(handles=handles, fontsize=8.5, frameon=False, loc=place, borderaxespad=0)
    legend.set_in_layout(False)  # it may reach over the empty panels beside its own


def _marker(epochs: Sequence[int]) -> str:
    """A single epoch is a dot, since a line of one point can't be seen."""
    return "o" if len(epochs) == 1 else ""


def _cell_title(cell: str) -> str:
    return {"normal": "normal cell", "reduce": "reduction cell"}.get(cell, cell)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
