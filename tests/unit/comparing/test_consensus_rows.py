"""Rows of the cell that a row's searches agree on."""

from types import SimpleNamespace

import pytest

from dsrna.comparing.cells import Cells
from dsrna.comparing.collect import _found
from dsrna.comparing.plan import Origin, Plan
from dsrna.comparing.settings import RowSettings
from dsrna.files import write_json
from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec
from dsrna.spaces.nasbench201.space import Nasbench201Space

SPACE = Nasbench201Space()
RIGHT, WRONG = 1462, 3000
ROWS = [
    {"name": "ours", "search": [], "space": "nasbench201"},
    {"name": "agreed", "consensus": "ours", "space": "nasbench201"},
]
AGREED = Origin("agreed", 0)


def searched(path, architecture):
    """A search that decided for an architecture, surely."""
    folder = RunFolder.create(
        path, kind="search", fingerprint="0", config_text="name: x\n", overrides=[], stages=["search"], device="cpu"
    )
    operations = SPACE.one_hot(SPACE.genotype(architecture))["cell"].operations.tolist()
    write_json(
        folder.architecture_json,
        {
            "space": SPACE.name,
            "primitives": list(SPACE.primitives),
            "cells": {"cell": {"edges": [list(edge) for edge in SPACE.edges("cell")]}},
            "epochs": [{"weights": {"cell": {"operations": operations, "edges": None}}}],
        },
    )
    genotype_codec.save(SPACE.genotype(architecture), folder.genotype_json)
    return folder


@pytest.fixture
def cells(tmp_path):
    """Of three searches, two of which found the same; the last isn't done until it is said to be."""
    jobs = {
        seed: SimpleNamespace(folder=searched(tmp_path / str(seed), found), is_done=seed != 7, seconds=10.0 + seed)
        for seed, found in ((2, WRONG), (5, RIGHT), (7, RIGHT))
    }
    of_rows = SimpleNamespace(
        search=lambda row, seed: jobs[seed] if row == "ours" else None, cell_file=lambda _: tmp_path / "cell.json"
    )
    plan = Plan([RowSettings.model_validate(row) for row in ROWS], [2, 5, 7], [0])
    return Cells(plan, of_rows, None), plan, jobs


def test_it_waits_for_all_searches_and_is_what_most_of_them_found(cells):
    of, plan, jobs = cells
    assert plan.origins(plan.rows[1]) == [AGREED]
    assert of.search_before(AGREED) is jobs[7]
    assert _found(AGREED, of).cell is None
    jobs[7].is_done = True
    assert of.search_before(AGREED) is None
    assert of.of(AGREED) == SPACE.genotype(RIGHT).canonical()
    assert of.of(Origin("ours", 2)) == SPACE.genotype(WRONG).canonical()
    assert _found(AGREED, of).seconds == 12 + 15 + 17
