"""DSRNA_THOROUGH=1 (``make test-thorough``): rows and examples that repeat what the quick ones notice already."""

import os
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
