"""DSRNA_THOROUGH=1 (``make test-thorough``): rows and examples that repeat what the quick ones notice already."""

import itertools
import os
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import settings

THOROUGH = os.environ.get("DSRNA_THOROUGH", "0") not in ("", "0")
EXAMPLES = 20

settings.register_profile("quick", max_examples=EXAMPLES, deadline=None, derandomize=True)
settings.register_profile("thorough", max_examples=100, deadline=None)
settings.load_profile("thorough" if THOROUGH else "quick")


def examples(thorough: int) -> settings:
    """So many drawn examples where there is time, at most ``EXAMPLES`` otherwise."""
    return settings(max_examples=thorough if THOROUGH else min(thorough, EXAMPLES))


def thorough(*values: Any) -> Any:
    """A parametrised row that runs with DSRNA_THOROUGH=1 alone."""
    return pytest.param(*values, marks=pytest.mark.thorough)


def every_value(*axes: Iterable[Any]) -> list[Any]:
    """The product of the axes as rows, of which so many are quick that each value of each axis occurs.

    Row i of the quick ones has value i of every axis, counted round; a fault that only one pair of values shows is
    left to the thorough rows, so this is for axes that the code treats one by one.
    """
    lists: list[Sequence[Any]] = [list(axis) for axis in axes]
    longest = max(map(len, lists))
    quick = {tuple(i % len(values) for values in lists) for i in range(longest)}
    rows = []
    for place in itertools.product(*(range(len(values)) for values in lists)):
        row = [values[i] for values, i in zip(lists, place, strict=True)]
        rows.append(pytest.param(*row) if place in quick else thorough(*row))
    return rows
