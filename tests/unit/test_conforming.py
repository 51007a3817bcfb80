import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NotRequired, TypedDict

import pytest
import torch

from dsrna.bounds.eps_schedule import Shape
from dsrna.conforming import hints_of, misfit, type_text
from dsrna.objectives.sabr import SABR


class Inner(TypedDict):
    eps: float


class Outer(TypedDict):
    name: str
    inner: Inner | None
    more: NotRequired[list[int]]


FITTING = [
    (3, int), (-3, int), (2**63 - 1, int), (3, float), (0.5, float), (True, bool), ("a", str), (None, None),
    (None, int | None), ("auto", float | Literal["auto"]), ([1, 2], tuple[int, ...]), ([1, 2.5], tuple[int, float]),
    ([], Sequence[str]), (["a"], Iterable[str]), ({"a": 1}, dict[str, int]), (object(), Any),
    (print, Callable[..., Any]),
    ({"name": "a", "inner": None}, Outer), ({"name": "a", "inner": {"eps": 1, "x": 0}, "more": [1]}, Outer),
    (0.1, float | torch.Tensor),
]  # fmt: skip
MISFITS = [
    (True, int, ""), (1.0, int, ""), (1.5, int, ""), ("1", int, ""), (10**30, int, ""), (None, int, ""),
    (True, float, ""), ("1", float, ""), (math.nan, float, ""), (math.inf, float, ""), (-math.inf, float | None, ""),
    (1, bool, ""), ("true", bool, ""), (3, str, ""), (0, None, ""), ("b", Literal["a"], ""), (True, Literal[1], ""),
    ("ab", Sequence[str], ""), ([1, "a"], list[int], "1"), ([1], tuple[int, int], ""),
    ({"a": "b"}, dict[str, int], "a"),
    ([1], dict[str, int], ""), ("print", Callable[..., Any], ""), ("x", float | torch.Tensor, ""),
    ({"inner": None}, Outer, ""), ({"name": "a", "inner": {"eps": "x"}}, Outer, "inner.eps"),
    ({"name": "a", "inner": {}}, Outer, "inner"), ({"name": "a", "inner": 3}, Outer, "inner"),
    ({"name": "a", "inner": None, "more": [True]}, Outer, "more.0"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), FITTING)
def test_what_fits(value, expected):
    assert misfit(value, expected) is None


@pytest.mark.parametrize(("value", "expected", "place"), MISFITS)
def test_what_does_not_and_where(value, expected, place):
    found = misfit(value, expected)
    assert found is not None
    assert found[0] == place
    assert found[1].startswith("Expected ")


def test_hints_are_those_of_the_signature_as_far_as_they_can_be_read():
    assert hints_of(torch.optim.SGD)["momentum"] is float
    assert hints_of(SABR)["ramp_shape"] == Shape, "a dataclass's base names a type that its own module doesn't know"
    assert "lr_lambda" not in hints_of(torch.optim.lr_scheduler.LambdaLR), "names a type for checkers alone"
    assert hints_of(torch.optim.lr_scheduler.LambdaLR)["last_epoch"] is int


def test_types_as_text():
    assert type_text(int | Literal["auto"] | None) == "a whole number or 'auto' or null"
    assert type_text(Outer) == "a mapping"
