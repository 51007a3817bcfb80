"""`python -m dsrna consensus`: which folders it takes, what it says of the others, and of what it found."""

import numpy as np
import pytest

import dsrna
from dsrna.__main__ import main
from dsrna.files import write_json
from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec
from dsrna.spaces.nasbench201.index import isomorphs
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.testing.made_up_tables import share, write_adversarial

SPACE = Nasbench201Space()
RIGHT, WRONG = 1462, 3000


def searched(path, architecture=RIGHT, finished=True, **changed):
    """A run folder whose search decided for an architecture, surely."""
    folder = RunFolder.create(
        path, kind="search", fingerprint="0", config_text="name: x\n", overrides=[], stages=["search"], device="cpu"
    )
    rows = [SPACE.one_hot(SPACE.genotype(each))["cell"].operations.tolist() for each in (0, architecture)]
    document = {
        "space": SPACE.name,
        "primitives": list(SPACE.primitives),
        "cells": {"cell": {"edges": [list(edge) for edge in SPACE.edges("cell")]}},
        "epochs": [{"weights": {"cell": {"operations": each, "edges": None}}} for each in rows],
    }
    folder.architecture_json.parent.mkdir(exist_ok=True)
    write_json(folder.architecture_json, document | changed)
    if finished:
        genotype_codec.save(SPACE.genotype(architecture), folder.genotype_json)
    return path


@pytest.mark.slow
def test_run_folders_and_folders_of_them_are_taken_together(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_adversarial(tmp_path, [int(i) for i in np.unique(isomorphs())])
    for number in range(2):
        searched(tmp_path / "sweep" / str(number))
    one = searched(tmp_path / "one", WRONG)
    file = tmp_path / "agreed.json"
    assert main(["consensus", str(tmp_path / "sweep"), str(one), "--out", str(file), "--tables", str(tmp_path)]) == 0
    assert genotype_codec.load(file) == SPACE.genotype(RIGHT)
    again = tmp_path / "again.json"
    assert dsrna.consensus(tmp_path / "sweep", one, file=again) == dsrna.consensus(tmp_path / "sweep", one)
    assert again.read_text() == file.read_text()
    shown = " ".join(capsys.readouterr().out.split())
    assert "consensus of 3 searches" in shown
    assert f"pgd 8/255: {100 * share(int(isomorphs()[RIGHT]), 2):.2f}" in shown


def nothing(path):
    path.mkdir()


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (nothing, "Expected finished searches"),
        (lambda path: searched(path, finished=False), "isn't finished"),
        (lambda path: searched(path, primitives=["none", "skip_connect"]), "searches of one space"),
        (lambda path: searched(path, space="darts"), "searches of one space"),
        (None, "at least 2 searches"),
    ],
)
def test_what_has_no_consensus_is_refused(tmp_path, capsys, second, message):
    places = [searched(tmp_path / "first")]
    if second is not None:
        second(tmp_path / "second")
        places.append(tmp_path / "second")
    file = tmp_path / "agreed.json"
    assert main(["consensus", *map(str, places), "--out", str(file)]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not file.exists()
