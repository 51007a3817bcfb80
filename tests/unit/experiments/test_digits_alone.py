"""Derived and random cells trained alone: what is compared, and what of it is owed to size."""

import math
from importlib import import_module
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "experiments" / "digits"
SIZES = [40_000, 60_000, 90_000, 120_000]


@pytest.fixture(scope="module")
def alone():
    if not FOLDER.is_dir():
        pytest.skip("experiments/ isn't part of the installed package")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield import_module("alone")


def line(cell, seed, size, pgd):
    return {"cell": cell, "seed": seed, "parameters": size, "acc": 0.9, "pgd": pgd, "pgd_loss": 1 - pgd}


def test_what_size_explains_is_told_apart_from_what_the_cell_does(alone, capsys):
    """Random cells lie on .1 ln(parameters) - .4, .02 off by training seed; derived ones .05 above, and larger."""
    law = {size: 0.1 * math.log(size) - 0.4 for size in [*SIZES, 100_000, 110_000]}
    lines = [
        line(f"random {number}", seed, size, law[size] + (0.02 if seed else -0.02))
        for number, size in enumerate(SIZES)
        for seed in (0, 1)
    ]
    lines += [line(f"ours {size}", 0, size, law[size] + 0.05) for size in (100_000, 110_000)]
    alone.report(lines)
    shown = capsys.readouterr().out
    ours = (law[100_000] + law[110_000]) / 2 + 0.05
    random = sum(law[size] for size in SIZES) / 4
    assert f"pgd: derived - random {ours - random:+.4f}" in shown
    assert "over log parameters +0.0500 (standard error 0.0000)" in shown
    assert "pgd_loss: derived - random -" in shown
    assert shown.count("beat [4, 4]") == 2, "a lower loss is better"
    assert "beat [0, 0]" in shown, "equal is not better"


def test_an_unfinished_file_has_cells_of_both_kinds(alone):
    pairs = alone._by_turns(["a", "b"], [1, 2, 3, 4])
    assert [one for some in pairs for one in some] == [1, "a", 2, 3, "b", 4]
