"""Spaces of other settings than the published ones, and the space that a genotype is of."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
import yaml

from dsrna.errors import ConfigError, GenotypeError
from dsrna.nn.cell_topology import CellTopology
from dsrna.spaces.darts.space import DARTS_PRIMITIVES, DartsSpace
from dsrna.spaces.genotype import CellGenotype, Genotype
from dsrna.spaces.genotype_codec import from_json, to_json
from dsrna.spaces.registry import space_of
from dsrna.spaces.search_space import SearchSpace
from dsrna.strategies.darts import Darts
from dsrna.testing.space_conformance import check_space, random_operation_weights

OWN_EDGES = [[0, 1], [0, 2], [1, 2]]
OWN = {"cell": [["nor_conv_1x1", "nor_conv_3x3"], ["none", "skip_connect"], ["none", "skip_connect", "nor_conv_3x3"]]}
SPACES = {
    "one node, one input": SearchSpace(1, ("none", "skip_connect", "nor_conv_3x3"), inputs=1, kept=1),
    "staged, every edge": SearchSpace(
        2, ("none", "skip_connect", "nor_conv_1x1"), inputs=1, kept=None, output="last", skeleton="staged"
    ),
    "operations of each edge": SearchSpace(
        2, ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3"), 1, None, "last", OWN_EDGES, OWN, "staged"
    ),
    "some edges": DartsSpace(3, ends=[[0, 2], [1, 2], [0, 3], [2, 3], [1, 4], [2, 4], [3, 4]]),
    "the last node, all edges": DartsSpace(2, ("none", "skip_connect", "sep_conv_3x3"), kept=None, output="last"),
    "three normal cells": DartsSpace(1, normal_cells=("accurate", "robust", "last")),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
def test_conformance(name):
    space = SPACES[name]

    def round_trip(genotype):
        assert space_of(genotype) == space
        return from_json(json.loads(json.dumps(to_json(genotype))))

    check_space(space, round_trip, {"cells": 1 if space.skeleton == "staged" else 5, "channels": 4}, genotypes=2)


CONF = Path(__file__).parents[3] / "conf" / "space"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["s1", "s2", "s3", "s4"])
def test_conformance_of_robustdarts_spaces(name):
    settings = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    assert settings.pop("_target_") == "dsrna.spaces.darts.space.DartsSpace"
    space = DartsSpace(**settings)
    assert {len(names) for each in space.topologies.values() for names in each.operations} == {3 if name == "s3" else 2}

    def round_trip(genotype):
        assert space_of(genotype) == space
        return from_json(json.loads(json.dumps(to_json(genotype))))

    check_space(space, round_trip, {"cells": 3, "channels": 2}, genotypes=1, draws=name == "s4")


def test_a_space_of_another_package_or_module_is_found_by_its_name():
    @dataclass(frozen=True)
    class Mine(SearchSpace):
        name: ClassVar[str] = "mine"

    space = Mine(1, TWO, inputs=1)
    genotype = space.derive(random_operation_weights(space, torch.Generator().manual_seed(0)))
    assert space_of(genotype) == space


def test_a_cell_of_a_topology_is_what_its_equations_say():
    """x_2 = b_02 o(x_0) + b_12 o(x_1) and no more edges; the output is x_2 alone, in both kinds of networks."""
    torch.manual_seed(0)
    space = SearchSpace(2, ("skip_connect", "nor_conv_3x3"), 1, None, "last", [[0, 1], [1, 2]], skeleton="staged")
    weights = random_operation_weights(space, torch.Generator().manual_seed(1))
    cell = space.supernet((3, 8, 8), 3, cells=1, channels=2).eval().body[0]
    x, w = torch.rand(2, 2, 8, 8), weights["cell"].operations
    (skip0, conv0), (skip1, conv1) = (edge.operations for edge in cell.edges)
    x1 = w[0, 0] * skip0(x) + w[0, 1] * conv0(x)
    torch.testing.assert_close(cell(x, weights=weights["cell"]), w[1, 0] * skip1(x1) + w[1, 1] * conv1(x1))


def test_operations_that_an_edge_does_not_have_are_never_derived_nor_computed():
    space = SPACES["operations of each edge"]
    weights = random_operation_weights(space, torch.Generator().manual_seed(0))
    weights["cell"].operations[:] = torch.tensor([0.1, 0.2, 0.3, 0.9])
    assert [name for node in space.derive(weights).cells["cell"].nodes for name, _ in node] == [
        "nor_conv_3x3", "skip_connect", "nor_conv_3x3",
    ]  # fmt: skip
    edges = space.supernet((3, 8, 8), 3, cells=1, channels=2).body[0].edges
    assert [sum(p.numel() for p in edge.parameters()) for edge in edges] == [40, 0, 36]
    wrong = Genotype(
        "cells", {"cell": CellGenotype(((("skip_connect", 0),), (("none", 0), ("none", 1))), (2,))}, space.settings
    )
    with pytest.raises(GenotypeError, match=r"node 1, operation 1: expected one of nor_conv_1x1, nor_conv_3x3 on"):
        space.check(wrong)


def test_a_search_gives_operations_that_an_edge_does_not_have_no_weight():
    space = SPACES["operations of each edge"]
    weights = Darts(init_scale=0.5).initial(space, torch.Generator().manual_seed(0))()["cell"].operations
    assert torch.equal(weights > 0, space.allowed("cell"))
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3))


def cell(*nodes, concat):
    return CellGenotype(nodes, concat)


PLAIN = cell((("sep_conv_3x3", 0), ("skip_connect", 1)), concat=(2,))
FITTED = {
    "five nodes": cell(*[(("sep_conv_3x3", 0), ("skip_connect", 1))] * 5, concat=(2, 3, 4, 5, 6)),
    "an input twice": cell((("sep_conv_3x3", 0), ("avg_pool_3x3", 0)), concat=(2,)),
    "an operation twice": cell((("sep_conv_3x3", 0), ("sep_conv_3x3", 0)), concat=(2,)),
    "none": cell((("none", 0), ("sep_conv_3x3", 1)), concat=(2,)),
    "another operation": cell((("nor_conv_3x3", 0), ("skip_connect", 1)), concat=(2,)),
    "loose ends": cell(*[(("sep_conv_3x3", 0), ("skip_connect", 2))] * 1, concat=(2,)),
    "one operation, and three": cell(
        (("skip_connect", 0),), (("skip_connect", 0), ("sep_conv_3x3", 1), ("none", 2)), concat=(3,)
    ),
    "an output twice": cell((("sep_conv_3x3", 0), ("skip_connect", 1)), concat=(2, 2)),
}
FITTED["loose ends"] = cell((("sep_conv_3x3", 0), ("skip_connect", 1)), (("none", 2), ("none", 2)), concat=(3,))


@pytest.mark.parametrize("name", FITTED)
def test_published_cells_of_any_form_have_a_space(name):
    genotype = Genotype("darts", {"normal": FITTED[name], "reduce": PLAIN})
    space = space_of(genotype)
    space.check(genotype)
    assert from_json(json.loads(json.dumps(to_json(genotype)))) == genotype
    assert to_json(genotype)["version"] == 1
    network = space.network(genotype, (3, 8, 8), 3, cells=3, channels=2)
    assert network(torch.rand(2, 3, 8, 8)).isfinite().all()
    with pytest.raises(GenotypeError):
        DartsSpace(nodes=len(FITTED[name].nodes)).check(genotype)


def test_one_hot_weights_of_cells_with_an_operation_twice():
    torch.manual_seed(0)
    genotype = Genotype("darts", {"normal": FITTED["an operation twice"], "reduce": FITTED["an input twice"]})
    space = space_of(genotype)
    supernet, x = space.supernet((3, 8, 8), 3, cells=3, channels=2), torch.rand(2, 3, 8, 8)
    expected = space.inherit(supernet, genotype)(x)
    torch.testing.assert_close(supernet(x, space.one_hot(genotype)), expected)


def test_the_usual_space_tells_no_settings_and_another_one_those_that_its_cells_do_not_tell():
    def derived(space):
        return space.derive(random_operation_weights(space, torch.Generator().manual_seed(0)))

    assert derived(DartsSpace()).topology is None
    assert derived(DartsSpace(nodes=3)).topology is None
    primitives = [name for name in DARTS_PRIMITIVES if "5x5" not in name]
    genotype = derived(DartsSpace(nodes=3, primitives=primitives))
    assert genotype.topology == {"nodes": 3, "primitives": primitives}
    assert space_of(genotype) == DartsSpace(3, tuple(primitives))
    written = to_json(genotype)
    assert written["version"] == 2
    assert from_json(json.loads(json.dumps(written))) == genotype


@pytest.mark.parametrize(
    ("topology", "message"),
    [
        ({"nodes": "4"}, r"topology, nodes: Expected a whole number, got '4'"),
        ({"nodes": 0}, r"`nodes` >= 1, got 0"),
        ({"primitives": ["sep_conv_9x9"]}, r"unknown operation 'sep_conv_9x9'"),
        ({"depth": 3}, r"topology: expected settings of the space 'darts': .*depth"),
    ],
)
def test_settings_of_a_file_are_checked(topology, message):
    document = to_json(Genotype("darts", {"normal": PLAIN, "reduce": PLAIN}, topology))
    with pytest.raises(GenotypeError, match=message):
        from_json(document)


def test_a_space_without_usual_settings_has_to_tell_them():
    with pytest.raises(GenotypeError, match=r"topology: expected the settings of the space 'cells', got nothing"):
        space_of(Genotype("cells", {"normal": PLAIN, "reduce": PLAIN}))


TWO = ("skip_connect", "nor_conv_1x1")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CellTopology(3, 1, TWO), r"`inputs` of 1 or 2, got 3"),
        (lambda: CellTopology(1, 1, TWO, kept=0), r"`kept` >= 1"),
        (lambda: CellTopology(1, 1, TWO, output="first"), r"`output` to be 'all' or 'last', got 'first'"),
        (lambda: CellTopology(1, 2, TWO, ends=((0, 1),)), r"to each of the nodes 1 to 2, got"),
        (lambda: CellTopology(1, 2, TWO, ends=((0, 2), (0, 1))), r"ascending target"),
        (lambda: CellTopology(1, 2, TWO, ends=((0, 1), (2, 2))), r"ascending target"),
        (lambda: CellTopology(1, 1, TWO, operations=(TWO, TWO)), r"each of 1 edges"),
        (lambda: CellTopology(1, 1, (*TWO, "none"), 1, operations=(("none",),)), r"one other than none"),
        (lambda: CellTopology(1, 1, TWO, operations=(("none", "skip_connect"),)), r"of primitives"),
        (lambda: SearchSpace(1, TWO, skeleton="staged"), r"`inputs: 1` and `output: last`"),
        (lambda: SearchSpace(1, TWO, skeleton="round"), r"unknown skeleton 'round'"),
        (lambda: SearchSpace(1, TWO, normal_cells=("a", "b")), r"one name, or of three"),
        (lambda: SearchSpace(1, TWO, normal_cells=("a", "reduce", "b")), r"none 'reduce'"),
        (lambda: SearchSpace(1, TWO, operations={"cell": [TWO]}), r"unknown cell type 'cell'"),
        (lambda: SPACES["staged, every edge"].supernet((3, 8, 8), 3, stem_multiplier=2), r"stem_multiplier"),
    ],
)
def test_refused(build, message):
    with pytest.raises((ConfigError, TypeError), match=message):
        build()
