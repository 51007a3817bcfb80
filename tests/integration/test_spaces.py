"""Spaces of other settings, from the search to a network that is built again from its genotype alone."""

import pytest

from dsrna.json_files import read_json
from dsrna.spaces.genotype_codec import load
from dsrna.spaces.registry import space_of

pytestmark = pytest.mark.slow

TINY = ["trainer=debug", "trainer.limits.batches=1", "trainer.limits.test_images=4", "trainer.limits.attacks=[fgsm]",
        "evaluate.eps_curve=[]", "retrain.baseline=false", "retrain.selection_steps=1",
        "search.random_cells=0"]  # fmt: skip
TOY = """# One node behind the cell before
_target_: dsrna.spaces.search_space.SearchSpace
nodes: 1
primitives: [none, skip_connect, nor_conv_3x3]
inputs: 1
kept: null
output: last
skeleton: staged
"""


def only(folder):
    (found,) = folder.iterdir()
    return found


def test_other_operations_and_nodes_go_all_the_way(command_line, tmp_path):
    chosen = ["space.nodes=2", "space.primitives=[none,skip_connect,sep_conv_7x7,conv_7x1_1x7]"]
    search = command_line("search", *TINY, *chosen, f"out={tmp_path / 'search'}", "stages=[search,retrain,evaluate]")
    assert search.status == 0, search.text
    genotype_file = only(tmp_path / "search") / "genotype.json"
    genotype = load(genotype_file)
    assert read_json(genotype_file)["version"] == 2
    assert genotype.topology == {
        "nodes": 2, "primitives": ["none", "skip_connect", "sep_conv_7x7", "conv_7x1_1x7"],
    }  # fmt: skip
    assert {name for cell in genotype.cells.values() for node in cell.nodes for name, _ in node} <= {
        "skip_connect", "sep_conv_7x7", "conv_7x1_1x7",
    }  # fmt: skip
    retrain = command_line("retrain", f"from={genotype_file}", *TINY, f"out={tmp_path / 'retrain'}", "stages=[retrain]")
    assert retrain.status == 0, retrain.text
    folder = only(tmp_path / "retrain")
    assert load(folder / "genotype.json") == genotype
    evaluate = command_line("evaluate", f"from={folder}", *TINY, f"out={tmp_path / 'evaluate'}")
    assert evaluate.status == 0, evaluate.text


def test_a_topology_of_yaml_alone(command_line, tmp_path):
    (tmp_path / "own" / "space").mkdir(parents=True)
    (tmp_path / "own" / "space" / "toy.yaml").write_text(TOY)
    own = ["space=toy", "--config-dir", str(tmp_path / "own")]
    search = command_line("search", *TINY, *own, f"out={tmp_path / 'search'}")
    assert search.status == 0, search.text
    genotype = load(only(tmp_path / "search") / "genotype.json")
    assert genotype.space == "cells"
    assert space_of(genotype).edges("cell") == ((0, 1),)


@pytest.mark.parametrize("name", ["s1", "s4"])
def test_the_spaces_of_robustdarts_are_searched(name, command_line, tmp_path):
    search = command_line("search", *TINY, f"space={name}", f"out={tmp_path}", "stages=[search,report]")
    assert search.status == 0, search.text
    genotype = load(only(tmp_path) / "genotype.json")
    space_of(genotype).check(genotype)
    assert set(genotype.topology) == ({"primitives", "operations"} if name == "s1" else {"primitives"})
