"""VNN-LIB text says what the property says, read by our parser and by a reading of its own."""

import re
from decimal import Decimal
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsrna.errors import DataError, UnsupportedError
from dsrna.export.robustness_property import RobustnessProperty
from dsrna.export.vnnlib import from_vnnlib, to_vnnlib
from dsrna.types import Threat

BY_HAND = """; a comment (in parentheses
(declare-const X_0 Real)
(declare-const X_1 Real)
(declare-const Y_0 Real)
(declare-const Y_1 Real)
(declare-const Y_2 Real)
(assert (>= X_0 0.25))
(assert (<= X_0 0.75))
(assert (>= X_1 0))
(assert (<= X_1 0.25))
(assert (or (and (>= Y_0 Y_1)) (and (>= Y_2 Y_1))))
"""


IN_2_0 = """; a comment (in parentheses
(vnnlib-version <2.0>)
(declare-network N
  (declare-input X Real [1,2,1,1])
  (declare-output Y Real [1,3]))
(assert (>= X[0,0,0,0] 0.25))
(assert (<= X[0,0,0,0] 0.75))
(assert (>= X[0,1,0,0] 0.0))
(assert (<= X[0,1,0,0] 0.25))
(assert (or (and (>= Y[0,0] Y[0,1])) (and (>= Y[0,2] Y[0,1]))))
"""


def around(values, label, classes, eps):
    return RobustnessProperty.around(
        torch.tensor(values, dtype=torch.float32).view(1, 1, -1), label, classes, Threat("linf", eps)
    )


def test_the_text_of_a_small_property():
    claim = around([0.5, 0.0], 1, 3, 0.25)
    assert to_vnnlib(claim, "a comment (in parentheses") == BY_HAND
    assert from_vnnlib(BY_HAND) == claim


def test_the_text_of_a_small_property_in_version_2_0():
    """The text was read by the package `vnnlib` 1.0.2, see experiments/vnncomp."""
    claim = around([0.5, 0.0], 1, 3, 0.25)
    assert to_vnnlib(claim, "a comment (in parentheses", "2.0", (2, 1, 1)) == IN_2_0
    assert from_vnnlib(IN_2_0) == claim


def test_other_writings_of_version_2_0_are_read_in_row_major_order():
    claim = around([0.5, 0.0, 0.25, 0.75], 2, 3, 0.125)
    text = to_vnnlib(claim, version="2.0", shape=(1, 2, 2))
    assert text.index("X[0,0,0,1]") < text.index("X[0,0,1,0]")
    lines = text.splitlines()
    shuffled = "\n".join([*lines[:4], *reversed(lines[4:])])
    assert from_vnnlib(shuffled) == claim
    spread = text.replace(",", " , ").replace("X", "image").replace("Y", "logits").replace(" Real", " float32")
    assert from_vnnlib(spread) == claim


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<2.0>", "<3.0>"),
        ("[1,2,1,1]", "[1,3,1,1]"),  # an input without bounds
        ("[1,2,1,1]", "[1,1,1,1]"),  # bounds of an input that isn't there
        ("[1,2,1,1]", "[1,2,1,1000000000,1000000000]"),
        ("[1,2,1,1]", "[]"),
        ("[1,3]", "[1,x]"),
        ("declare-output Y", "declare-output X"),
        ("(declare-output Y Real [1,3])", "(declare-output Y Real [1,3]) (declare-output Z Real [1,3])"),
        ("(assert (<= X[0,0,0,0] 0.75))\n", ""),
        ("(>= Y[0,2] Y[0,1])", "(>= Y[0,2] Y[0,0])"),
        ("(>= Y[0,2] Y[0,1])", "(>= Y[0,2] Y[1,0])"),
    ],
)
def test_a_text_of_version_2_0_that_means_something_else_is_refused(old, new):
    assert old in IN_2_0
    with pytest.raises(DataError, match=r"VNN-LIB|bound"):
        from_vnnlib(IN_2_0.replace(old, new))


@given(
    values=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=6),
    eps=st.floats(0, 1),
    classes=st.integers(2, 5),
    data=st.data(),
)
def test_the_box_holds_the_ball_exactly_and_is_not_larger_than_rounding_makes_it(values, eps, classes, data):
    label = data.draw(st.integers(0, classes - 1))
    claim = around(values, label, classes, eps)
    text = to_vnnlib(claim)
    assert from_vnnlib(text) == claim
    # A reading of its own, in rational numbers, of each line.
    for index, value in enumerate(values):
        ends = dict(re.findall(rf"\(assert \(([<>]=) X_{index} (\S+)\)\)", text))
        least, most = (
            max(Fraction(value) - Fraction(eps), Fraction(0)),
            min(Fraction(value) + Fraction(eps), Fraction(1)),
        )
        low, high = Fraction(ends[">="]), Fraction(ends["<="])
        assert 0 <= low <= least <= most <= high <= 1
        assert least - low <= least * Fraction(1, 10**18)
        assert high - most <= most * Fraction(1, 10**18)
    last = text.strip().splitlines()[-1]
    assert set(re.findall(r"\(>= Y_(\d+) Y_(\d+)\)", last)) == {
        (str(other), str(label)) for other in range(classes) if other != label
    }


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.integers(0, 2))
def test_the_disjunction_holds_exactly_where_the_class_is_lost(logits, label):
    last = to_vnnlib(around([0.5], label, 3, 0.1)).strip().splitlines()[-1]
    holds = any(logits[int(rival)] >= logits[int(own)] for rival, own in re.findall(r"\(>= Y_(\d) Y_(\d)\)", last))
    margin = logits[label] - max(value for other, value in enumerate(logits) if other != label)
    assert holds == (margin <= 0)


def test_other_writings_of_the_same_are_read():
    other = BY_HAND.replace("(and (>= Y_0 Y_1))", "(<= Y_1 Y_0)").replace("0.25))\n(assert (or", "2.5E-1))(assert\n(or")
    assert from_vnnlib(other) == from_vnnlib(BY_HAND)
    two_classes = BY_HAND.replace("(declare-const Y_2 Real)\n", "").replace(
        "(or (and (>= Y_0 Y_1)) (and (>= Y_2 Y_1)))", "(>= Y_0 Y_1)"
    )
    assert from_vnnlib(two_classes).label == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(assert (<= X_0 0.75))\n", ""),  # no upper end
        ("(<= X_0 0.75)", "(<= X_1 0.75)"),  # two upper ends of one input
        ("(>= Y_2 Y_1)", "(>= Y_2 Y_0)"),  # rivals of two classes
        ("(and (>= Y_0 Y_1)) ", ""),  # a rival is missing
        ("(>= Y_2 Y_1)", "(>= Y_2 0.5)"),
        ("(>= Y_2 Y_1)", "(< Y_2 Y_1)"),
        ("(or (and", "(and (and"),  # another meaning
        ("X_1 Real", "X_2 Real"),
        ("0.75", "many"),
        ("Y_1))))\n", "Y_1)"),
        ("; a comment (in parentheses", "a comment"),
        ("; a comment (in parentheses", ")"),
        ("(declare-const X_1 Real)", "(declare-const X_0 Real)"),
        ("(declare-const X_1 Real)", "(declare-fun X_1 Real)"),
    ],
)
def test_a_text_that_means_something_else_is_refused(old, new):
    assert old in BY_HAND
    with pytest.raises(DataError, match=r"VNN-LIB|bound"):
        from_vnnlib(BY_HAND.replace(old, new))


def test_a_second_assertion_about_the_outputs_is_refused():
    with pytest.raises(DataError, match="VNN-LIB"):
        from_vnnlib(BY_HAND + "(assert (>= Y_0 Y_1))")


def test_l2_balls_are_no_boxes():
    with pytest.raises(UnsupportedError, match="box"):
        RobustnessProperty.around(torch.zeros(1, 2, 2), 0, 2, Threat("l2", 0.5))


def test_ends_are_decimals_without_exponents():
    claim = around([1e-7], 0, 2, 0.0)
    assert "E" not in to_vnnlib(claim).upper().replace("DECLARE", "").replace("REAL", "").replace("ASSERT", "")
    assert claim.lower[0] <= Decimal(torch.tensor(1e-7).item()) <= claim.upper[0]
