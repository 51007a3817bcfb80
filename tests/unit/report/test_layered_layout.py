"""The layout keeps boxes apart and lanes straight."""

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrna.report.layered_layout import _spread, layered_layout
from tests.thorough import examples


def crossings(routes: list[list[tuple[int, float]]]) -> int:
    """How many pairs of line pieces between the same two layers cross, counted from the drawn heights."""
    pieces = {piece for route in routes for piece in pairwise(route)}
    return sum(
        one < other and one[0][0] == other[0][0] and (one[0][1] - other[0][1]) * (one[1][1] - other[1][1]) < 0
        for one, other in product(pieces, pieces)
    )


def test_a_graph_that_can_be_drawn_without_crossings_is() -> None:
    layers = [["a", "b", "c"], ["x", "y", "z"], ["r", "s", "t"]]
    edges = [("a", "z"), ("b", "x"), ("c", "y"), ("x", "t"), ("y", "s"), ("z", "r")]
    layout = layered_layout(layers, edges, dict.fromkeys("abcxyzrst", 1.0), gap=0.5)
    assert crossings(list(layout.routes.values())) == 0
    assert layout.y["a"] > layout.y["b"] > layout.y["c"]
    assert layout.y["z"] > layout.y["x"] > layout.y["y"]


def test_a_long_edge_gets_a_lane_of_its_own() -> None:
    layers = [["a"], ["x"], ["b"]]
    layout = layered_layout(layers, [("a", "x"), ("x", "b"), ("a", "b")], {"a": 1.0, "x": 1.0, "b": 1.0}, gap=0.5)
    lane = dict(layout.routes["a", "b"])[1]
    assert abs(lane - layout.y["x"]) >= 0.5 + 0.5  # half a box and the gap


@examples(50)
@given(wanted=st.lists(st.floats(-5, 5), min_size=1, max_size=5), gap=st.floats(0.1, 1.0))
def test_spreading_is_the_closest_feasible_placement(wanted: list[float], gap: float) -> None:
    scipy = pytest.importorskip("scipy.optimize")
    heights = [0.5] * len(wanted)
    placed = _spread(wanted, heights, gap)
    assert all(high - low >= 0.5 + gap - 1e-9 for low, high in pairwise(placed))

    # The same least-squares problem in the free first height and the non-negative slacks between neighbours.
    def place(z: list[float]) -> list[float]:
        heights = [z[0]]
        for slack in z[1:]:
            heights.append(heights[-1] + 0.5 + gap + slack)
        return heights

    count = len(wanted)
    design = [[1.0] * (1 + row) + [0.0] * (count - 1 - row) for row in range(count)]
    base = place([0.0] * count)
    bounds = ([-100.0] + [0.0] * (count - 1), [100.0] * count)
    solved = scipy.lsq_linear(design, [w - b for w, b in zip(wanted, base, strict=True)], bounds, tol=1e-12)
    assert placed == pytest.approx(place(list(solved.x)), abs=1e-3)
