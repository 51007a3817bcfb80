"""Genotypes as JSON: round trips, files, and the table of what is refused with its place."""

import contextlib
import copy
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsrna.errors import DsrnaError, GenotypeError
from dsrna.spaces.darts.published import PUBLISHED, published
from dsrna.spaces.darts.space import DARTS_PRIMITIVES, DartsSpace
from dsrna.spaces.genotype import CellGenotype, Genotype
from dsrna.spaces.genotype_codec import from_json, load, save, to_json
from dsrna.spaces.notation.reading import parse

OPERATION_NAMES = DARTS_PRIMITIVES[1:]


@st.composite
def genotypes(draw):
    count = draw(st.integers(1, 5))

    def cell():
        nodes = []
        for index in range(2, 2 + count):
            sources = draw(st.lists(st.integers(0, index - 1), min_size=2, max_size=2, unique=True))
            nodes.append(tuple((draw(st.sampled_from(OPERATION_NAMES)), source) for source in sources))
        concat = draw(st.lists(st.integers(2, count + 1), min_size=1, unique=True))
        return CellGenotype(tuple(nodes), tuple(concat))

    return Genotype("darts", {"normal": cell(), "reduce": cell()})


@settings(max_examples=60, deadline=None)
@given(genotypes())
def test_json_round_trip(genotype):
    assert parse(json.dumps(to_json(genotype))) == genotype
    assert from_json(to_json(genotype), DartsSpace(nodes=len(genotype.cells["normal"].nodes))) == genotype


@settings(max_examples=30, deadline=None)
@given(genotypes(), st.randoms(use_true_random=False))
def test_canonical_form_forgets_the_order_inside_nodes_and_nothing_else(genotype, random):
    cells = {}
    for cell_type, cell in genotype.cells.items():
        nodes = tuple(tuple(random.sample(node, len(node))) for node in cell.nodes)
        cells[cell_type] = CellGenotype(nodes, cell.concat)
    canonical = Genotype("darts", cells).canonical()
    assert canonical == genotype.canonical() == canonical.canonical()
    for cell_type, cell in genotype.cells.items():
        assert canonical.cells[cell_type].concat == cell.concat
        for node, sorted_node in zip(cell.nodes, canonical.cells[cell_type].nodes, strict=True):
            assert set(node) == set(sorted_node)
            assert [source for _, source in sorted_node] == sorted(source for _, source in node)


def test_files(tmp_path):
    genotype = published("PC_DARTS")
    save(genotype, tmp_path / "genotype.json")
    assert load(tmp_path / "genotype.json") == genotype
    written = json.loads((tmp_path / "genotype.json").read_text())
    assert (written["schema"], written["version"], written["space"]) == ("dsrna.genotype", 1, "darts")
    assert written["cells"]["normal"]["nodes"][3] == [["avg_pool_3x3", 0], ["dil_conv_3x3", 1]]
    assert written["cells"]["reduce"]["concat"] == [2, 3, 4, 5]


def edited(path, value):
    """DARTS V2 as JSON text with one entry replaced, or removed where the value is KeyError."""
    tree = copy.deepcopy(to_json(published("DARTS_V2")))
    place = tree
    for key in path[:-1]:
        place = place[key]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(tree)


NORMAL = ("cells", "normal")
REDUCE = ("cells", "reduce")
V2 = PUBLISHED["DARTS_V2"].text

REFUSED = [
    (
        edited((*NORMAL, "nodes", 0, 1), ["sep_conv_9x9", 1]),
        r"normal, node 1, operation 2: unknown operation 'sep_conv_9x9'; choose from none, max_pool_3x3, .*; "
        r"nearest: sep_conv_5x5",
    ),
    (edited((*NORMAL, "nodes", 0, 0), ["sep_conv_3x3", 2]), r"normal, node 1, operation 1: .* 0 to 1, got 2"),
    (edited((*REDUCE, "nodes", 3, 1), ["skip_connect", 9]), r"reduce, node 4, operation 2: .* 0 to 4, got 9"),
    (edited((*REDUCE, "nodes", 3, 1), ["skip_connect", -1]), r"reduce, node 4, operation 2: .* got -1"),
    (edited((*REDUCE, "nodes", 3, 1), ["skip_connect", True]), r"reduce, node 4, operation 2: .* whole number.* True"),
    (edited((*REDUCE, "nodes", 3, 1), ["skip_connect", 1.0]), r"reduce, node 4, operation 2: .* whole number.* 1.0"),
    (edited((*REDUCE, "nodes", 3, 1), ["skip_connect"]), r"reduce, node 4, operation 2: expected \[operation name"),
    (edited((*REDUCE, "nodes", 3, 1), [3, "skip_connect"]), r"reduce, node 4, operation 2: expected \[operation name"),
    (edited((*NORMAL, "nodes", 1), []), r"normal, node 2: expected at least one operation, got none"),
    (edited((*NORMAL, "nodes", 1), "skip"), r"normal, node 2: expected a list, got 'skip'"),
    (edited((*NORMAL, "nodes", 3), KeyError), r"normal, concat: .* 2 to 4, got 5"),
    (edited((*REDUCE, "nodes", 3), KeyError), r"reduce, concat: .* 2 to 4, got 5"),
    (edited((*NORMAL, "nodes"), KeyError), r"normal, nodes: expected a list, got nothing"),
    (edited((*NORMAL, "concat"), []), r"normal, concat: expected at least one node"),
    (edited((*NORMAL, "concat"), [2, 3, 6]), r"normal, concat: .* 2 to 5, got 6"),
    (edited((*NORMAL, "concat"), [1, 2]), r"normal, concat: .* 2 to 5, got 1"),
    (edited((*REDUCE, "concat"), ["2"]), r"reduce, concat: expected a whole number"),
    (edited((*REDUCE, "concat"), KeyError), r"reduce, concat: expected a list, got nothing"),
    (edited(REDUCE, KeyError), r"reduce: this cell is missing; expected normal, reduce, got normal"),
    (edited(("cells", "reduction"), {"nodes": [], "concat": []}), r"unknown cell type 'reduction'.*nearest: reduce"),
    (edited(("cells",), []), r"cells: expected a mapping"),
    (edited(("cells",), {}), r"normal: this cell is missing; .* got no cell"),
    (
        edited(("space",), "dart"),
        r"space: unknown search space 'dart'; choose from .*; nearest: darts",
    ),
    (edited(("space",), 3), r"space: expected the name"),
    (edited(("version",), 3), r"version: expected 1 or 2, got 3"),
    (edited(("version",), 2), r"topology: expected a mapping, got nothing"),
    (edited(("version",), KeyError), r"version: expected 1 or 2, got None"),
    (edited(("schema",), "other"), r"schema: expected 'dsrna.genotype', got 'other'"),
    (edited(("schema",), "dsrna.genotype")[:200], r"Expected JSON.*truncated"),
    ('{"schema": ' + "[" * 50_000, r"Expected JSON"),
    ("[1]" * 1_000_000, r"got a text of more than \d+ characters"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=range(len(REFUSED)))
def test_refused(text, message):
    with pytest.raises(GenotypeError, match=message) as caught:
        parse(text)
    assert len(str(caught.value)) < 600


def test_a_file_that_is_refused_is_named(tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text(edited(("version",), 7))
    with pytest.raises(GenotypeError, match=r"broken\.json: version: expected 1 or 2, got 7"):
        load(broken)
    with pytest.raises(GenotypeError, match=r"can.t read it"):
        load(tmp_path / "absent.json")
    with pytest.raises(GenotypeError, match=r"can be read to its end"):
        load(tmp_path)
    broken.write_bytes(b"\xff\xfe{")
    with pytest.raises(GenotypeError, match=r"are no text"):
        load(broken)


def test_a_space_of_another_size_or_with_other_operations_refuses():
    with pytest.raises(GenotypeError, match="normal: expected 2 nodes, got 4"):
        parse(V2, DartsSpace(nodes=2))
    with pytest.raises(GenotypeError, match="unknown operation 'dil_conv_3x3'"):
        parse(V2, DartsSpace(primitives=("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3")))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_text_is_a_genotype_or_one_of_our_errors(data):
    text = data.draw(st.sampled_from([V2, json.dumps(to_json(published("DARTS_V2")))]))
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 20)))
    damaged = text[:start] + data.draw(st.text(max_size=4)) + text[stop:]
    with contextlib.suppress(DsrnaError):
        genotype = parse(damaged)
        assert parse(json.dumps(to_json(genotype))) == genotype


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(GenotypeError, match=r"pipe: .* none that can be read to its end"):
        load(tmp_path / "pipe")


def test_bytes_that_are_no_text_are_refused_with_what_to_give(tmp_path):
    (tmp_path / "latin.json").write_bytes(b'{"space": "\xe9"}')
    with pytest.raises(GenotypeError, match=r"latin.json: .* bytes that are no text.*Give the genotype.json of a run"):
        load(tmp_path / "latin.json")
