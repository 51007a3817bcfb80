"""Lines and planes around ReLU and maximum."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsrna.bounds.lines import plane_above_maximum, relu_lines

number = st.floats(-10, 10, width=32)
box = st.lists(st.tuples(number, st.one_of(st.just(0.0), st.floats(0, 5, width=32))), min_size=1, max_size=5)


@given(box, st.sampled_from([torch.float32, torch.float64]))
def test_relu_lies_between_its_lines(entries, dtype):
    low, width = torch.tensor(entries, dtype=dtype).T
    high = low + width
    lines = relu_lines(low, high)
    for share in torch.linspace(0, 1, 11, dtype=dtype):
        z = torch.lerp(low, high, share)
        slack = 10 * torch.finfo(dtype).eps * (1 + z.abs())
        assert bool((lines.lower * z <= z.relu() + slack).all())
        assert bool((lines.upper * z + lines.intercept >= z.relu() - slack).all())


@pytest.mark.parametrize(
    ("low", "high", "lines"),
    [
        (-2.0, -1.0, (0, 0, 0)),
        (1.0, 2.0, (1, 1, 0)),
        (-1.0, 3.0, (1, 0.75, 0.75)),
        (-3.0, 1.0, (0, 0.25, 0.75)),
        (0.0, 0.0, (1, 0, 0)),
    ],
)
def test_relu_lines_by_hand(low, high, lines):
    got = relu_lines(torch.tensor([low]), torch.tensor([high]))
    assert tuple(part.item() for part in got) == lines


@pytest.mark.slow
@given(box, st.sampled_from([torch.float32, torch.float64]))
def test_maximum_lies_below_its_plane_at_every_corner(entries, dtype):
    """The difference is concave, so its least value is at a corner."""
    low, width = torch.tensor(entries, dtype=dtype).T
    plane = plane_above_maximum(low[None], (low + width)[None])
    for corner in itertools.product(*zip(low.tolist(), (low + width).tolist(), strict=True)):
        z = torch.tensor(corner, dtype=dtype)
        slack = 20 * torch.finfo(dtype).eps * (1 + z.abs().max())
        assert (plane.slopes[0] * z).sum() + plane.intercept[0] >= z.max() - slack
    assert bool(((plane.slopes >= 0) & (plane.slopes <= 1)).all())


def test_plane_by_hand():
    # Two entries in [0, 2] and [1, 2]: (2 - gamma) / 2 + (2 - gamma) / 1 = 1 at gamma = 4 / 3, slopes 1/3 and 2/3,
    # and the constant 4 / 3 - 2 / 3.
    plane = plane_above_maximum(torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, 2.0]]))
    torch.testing.assert_close(plane.slopes, torch.tensor([[1 / 3, 2 / 3]]))
    torch.testing.assert_close(plane.intercept, torch.tensor([2 / 3]))


def test_an_entry_that_is_always_the_largest_is_the_plane():
    plane = plane_above_maximum(torch.tensor([[3.0, -1.0, -torch.inf]]), torch.tensor([[5.0, 2.0, -torch.inf]]))
    torch.testing.assert_close(plane.slopes, torch.tensor([[1.0, 0.0, 0.0]]))
    torch.testing.assert_close(plane.intercept, torch.tensor([0.0]), atol=1e-6, rtol=0)


@given(box)
def test_a_plane_has_no_scale_of_its_own(entries):
    """In units that are a power of two there is not even another rounding."""
    low, width = torch.tensor(entries, dtype=torch.float64).T
    unit = 2.0**-200
    plane, small = (
        plane_above_maximum(low[None], (low + width)[None]),
        plane_above_maximum(unit * low[None], unit * (low + width)[None]),
    )
    assert torch.equal(small.slopes, plane.slopes)
    assert torch.equal(small.intercept, unit * plane.intercept)
