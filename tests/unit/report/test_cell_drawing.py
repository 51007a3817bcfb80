"""The drawing of a cell shows every node and edge, and nothing lies on anything else."""

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrna.report.cell_drawing import draw_cell
from dsrna.report.style import OPERATION_COLOURS
from dsrna.testing.run_folders import PRIMITIVES, example_genotype
from tests.thorough import examples


@st.composite
def cells(draw: st.DrawFn) -> dict[str, Any]:
    nodes = []
    for index in range(draw(st.integers(1, 5))):
        sources = draw(st.lists(st.integers(0, index + 1), min_size=2, max_size=2, unique=True))
        nodes.append([[draw(st.sampled_from(PRIMITIVES)), source] for source in sources])
    return {"nodes": nodes, "concat": list(range(2, 2 + len(nodes)))}


def texts(figure: Any) -> dict[str, Any]:
    return {text.get_gid(): text for text in figure.axes[0].texts if text.get_gid()}


def lines(figure: Any) -> dict[str, Any]:
    return {patch.get_gid(): patch for patch in figure.axes[0].patches if patch.get_gid()}


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["normal", "reduce"])
def test_every_node_and_edge_of_the_genotype_is_drawn(cell: str) -> None:
    from matplotlib.colors import to_rgba

    content = example_genotype()["cells"][cell]
    figure = draw_cell(content, "A cell")
    labels, drawn = texts(figure), lines(figure)
    nodes = {gid.removeprefix("node:"): text.get_text() for gid, text in labels.items() if gid.startswith("node:")}
    assert nodes == {
        "0": "cₖ₋₂",
        "1": "cₖ₋₁",
        "2": "2",
        "3": "3",
        "4": "4",
        "5": "5",
        "output": "output",
    }
    expected_lines = {f"concat:{index}" for index in content["concat"]}
    for index, node in enumerate(content["nodes"], start=2):
        for number, (operation, source) in enumerate(node):
            assert labels[f"operation:{index}:{number}"].get_text() == operation
            edge = f"edge:{source}->{index}:{number}"
            assert drawn[edge].get_edgecolor() == to_rgba(OPERATION_COLOURS[operation])
            expected_lines.add(edge)
    assert set(drawn) == expected_lines


def test_a_node_outside_concat_has_no_line_to_the_output() -> None:
    content = {"nodes": [[["skip_connect", 0], ["none", 1]], [["skip_connect", 0], ["none", 2]]], "concat": [3]}
    assert [gid for gid in lines(draw_cell(content, "")) if gid.startswith("concat")] == ["concat:3"]


@pytest.mark.slow
@examples(25)
@given(cells())
def test_no_label_lies_on_another_or_over_the_border(cell: dict[str, Any]) -> None:
    figure = draw_cell(cell, "Normal cell")
    renderer = figure.canvas.get_renderer()
    extents = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    for one, other in combinations(extents, 2):
        assert not one.overlaps(other)
    width, height = figure.canvas.get_width_height()
    for extent in extents:
        assert extent.x0 >= 0
        assert extent.y0 >= 0
        assert extent.x1 <= width
        assert extent.y1 <= height


@pytest.mark.slow
@examples(25)
@given(cells())
def test_labels_fit_their_boxes_and_no_line_crosses_a_box(cell: dict[str, Any]) -> None:
    from matplotlib.patches import FancyBboxPatch
    from matplotlib.transforms import Affine2D

    figure = draw_cell(cell, "Normal cell")
    axes = figure.axes[0]
    renderer = figure.canvas.get_renderer()
    to_inches = axes.transData.inverted()
    boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    outlines = [
        (patch.get_x(), patch.get_y(), patch.get_x() + patch.get_width(), patch.get_y() + patch.get_height())
        for patch in boxes
    ]
    for text in axes.texts:
        if text.get_gid():
            (left, low), (right, high) = to_inches.transform(text.get_window_extent(renderer))
            assert any(left >= x0 and right <= x1 and low >= y0 and high <= y1 for x0, y0, x1, y1 in outlines), (
                text.get_text()
            )
    for line in lines(figure).values():
        points = line.get_path().to_polygons(Affine2D().scale(200), closed_only=False)[0] / 200
        for x0, y0, x1, y1 in outlines:
            inside = [(x, y) for x, y in points if x0 + 0.01 < x < x1 - 0.01 and y0 < y < y1]
            assert not inside
