"""Genotypes as papers, released code and logs print them: each form against its value, and what is refused."""

import contextlib
import json
import re
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsrna.errors import GenotypeError
from dsrna.nn.operations import OPERATIONS
from dsrna.spaces.darts.published import published
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.genotype import CellGenotype, Genotype
from dsrna.spaces.genotype_codec import LONGEST_TEXT, to_json
from dsrna.spaces.genotype_source import read_genotype
from dsrna.spaces.nasbench201.architecture_string import architecture_string
from dsrna.spaces.nasbench201.index import string_at
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.spaces.notation.reading import found, load, parse
from dsrna.spaces.notation.writing import published_text
from dsrna.spaces.registry import space_of

CELL = (
    "[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0), ('dil_conv_3x3', 1), "
    "('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0), ('dil_conv_3x3', 1)]"
)
PLAIN = f"Genotype(normal={CELL}, normal_concat=range(2, 6), reduce={CELL}, reduce_concat=range(2, 6))"
OTHER = PLAIN.replace("avg_pool_3x3", "max_pool_3x3")
NODES = (
    (("sep_conv_3x3", 1), ("skip_connect", 0)),
    (("sep_conv_3x3", 0), ("dil_conv_3x3", 1)),
    (("sep_conv_5x5", 0), ("sep_conv_3x3", 1)),
    (("avg_pool_3x3", 0), ("dil_conv_3x3", 1)),
)
ALL = (2, 3, 4, 5)
GENOTYPE = Genotype("darts", {kind: CellGenotype(NODES, ALL) for kind in ("normal", "reduce")})


def replaced(nodes, *names):
    """Nodes with other operations in place of some, by (node, place, operation and input)."""
    rows = [list(node) for node in nodes]
    for node, place, operation in names:
        rows[node][place] = operation
    return tuple(tuple(row) for row in rows)


def nested(open_, close):
    pairs = re.findall(r"\('\w+', \d\)", CELL)
    return "[" + ", ".join(f"{open_}{pairs[i]}, {pairs[i + 1]}{close}" for i in range(0, 8, 2)) + "]"


def weighted(text, number="0.13"):
    return re.sub(r"(\('\w+', \d)\)", rf"\1, {number})", text)


def both(nodes, concat=ALL):
    return {kind: CellGenotype(nodes, concat) for kind in ("normal", "reduce")}


FIVE = CELL[:-1] + ", ('sep_conv_3x3', 0), ('sep_conv_3x3', 1)]"
READ = {
    "plain": (PLAIN, both(NODES)),
    "assignment": (f"MINE = {PLAIN}\n", both(NODES)),
    "qualified": (f"genotypes.{PLAIN}", both(NODES)),
    "assigned and qualified": (f"a = cnn.genotypes.{PLAIN};", both(NODES)),
    "comments": (f"# best of 4 seeds\n{PLAIN}  # 97.4", both(NODES)),
    "comments within": (PLAIN.replace("('sep_conv_5x5'", "# node (4\n ('sep_conv_5x5'"), both(NODES)),
    "in a comment alone": (f"# epoch 49: {PLAIN}\n", both(NODES)),
    "trailing text": (f"{PLAIN} took 3.1 hours (of 4)\nand then", both(NODES)),
    "CRLF": (PLAIN.replace(", reduce", ",\r\n reduce") + "\r\n", both(NODES)),
    "double quotes": (PLAIN.replace("'", '"'), both(NODES)),
    "log line": (f"genotype = {PLAIN}", both(NODES)),
    "log line with time": (f"12/03 01:02:03 AM genotype = {PLAIN}\n12/03 01:02:04 AM [0.1, 0.2", both(NODES)),
    "the same in every epoch": (f"epoch 1 genotype = {PLAIN}\nepoch 2 genotype = {PLAIN}\n", both(NODES)),
    "import lines": (
        "from collections import namedtuple\nGenotype = namedtuple('Genotype', 'normal normal_concat reduce "
        f"reduce_concat')\nclass Genotype(NamedTuple):\n    pass\nA = {PLAIN}",
        both(NODES),
    ),
    "numpy 2": (re.sub(r", 1\)", ", np.int64(1))", PLAIN), both(NODES)),
    "numpy 2, operations": (re.sub(r"'(\w+)'", r"np.str_('\1')", PLAIN), both(NODES)),
    "list(range)": (PLAIN.replace("range(2, 6)", "list(range(2, 6))"), both(NODES)),
    "lists for pairs": (re.sub(r"\(('\w+', \d)\)", r"[\1]", PLAIN), both(NODES)),
    "lists for nodes (DARTS-PT)": (PLAIN.replace(CELL, nested("[", "]")), both(NODES)),
    "tuples for nodes": (PLAIN.replace(CELL, nested("(", ")")), both(NODES)),
    "weights (SGAS)": (weighted(PLAIN), both(NODES)),
    "weights below zero": (weighted(PLAIN, "-1.3e-05"), both(NODES)),
    "weights as tensors": (weighted(PLAIN, "tensor(0.1300, device='cuda:0')"), both(NODES)),
    "weights, one of them whole": (weighted(PLAIN).replace("0.13)", "1)", 1), both(NODES)),
    "dictionary (GDAS)": (
        f"{{'normal': {weighted(nested('(', ')'))}, 'normal_concat': [2, 3, 4, 5], "
        f"'reduce': {weighted(nested('(', ')'))}, 'reduce_concat': [2, 3, 4, 5]}}",
        both(NODES),
    ),
    "JSON of a dictionary": (
        '{"best": {"normal": X, "normal_concat": [2, 3, 4, 5], "reduce": X, "reduce_concat": [2, 3, 4, 5], '
        '"connects": null}}'.replace("X", CELL.replace("(", "[").replace(")", "]").replace("'", '"')),
        both(NODES),
    ),
    "entries that hold nothing": (
        PLAIN[:-1] + ", normal_bottleneck='', connectN=None, aux=[], primitives='Darts', steps=4)",
        both(NODES),
    ),
    "five nodes": (
        PLAIN.replace(CELL, FIVE).replace("6)", "7)"),
        both((*NODES, (("sep_conv_3x3", 0), ("sep_conv_3x3", 1))), (2, 3, 4, 5, 6)),
    ),
    "loose ends": (
        PLAIN.replace("range(2, 6)", "[4, 5]", 1),
        both(NODES) | {"normal": CellGenotype(NODES, (4, 5))},
    ),
    "capitals": (PLAIN.replace("sep_conv_3x3", "Sep_conv_3x3"), both(NODES)),
    "none": (
        PLAIN.replace("('skip_connect', 0)", "('none', 0)", 1),
        both(NODES) | {"normal": CellGenotype(replaced(NODES, (0, 1, ("none", 0))), ALL)},
    ),
    "noise": (
        PLAIN.replace("('skip_connect', 0)", "('noise', 0)"),
        both(replaced(NODES, (0, 1, ("noise", 0)))),
    ),
    "sep_conv_7x7": (
        PLAIN.replace("sep_conv_5x5", "sep_conv_7x7"),
        both(replaced(NODES, (2, 0, ("sep_conv_7x7", 0)))),
    ),
    "the same input twice": (
        PLAIN.replace("('skip_connect', 0)", "('skip_connect', 1)", 1),
        both(NODES) | {"normal": CellGenotype(replaced(NODES, (0, 1, ("skip_connect", 1))), ALL)},
    ),
    "three cell types (ARNAS)": (
        PLAIN.replace("normal", "accurate")[:-1] + f", robust={CELL}, robust_concat=range(2, 6))",
        {kind: CellGenotype(NODES, ALL) for kind in ("accurate", "reduce", "robust")},
    ),
    "edges from a node without operations (FairDARTS)": (
        "Genotype(normal=[('max_pool_3x3', 2, 0), ('sep_conv_5x5', 4, 3), ('noise', 5, 4), ('skip_connect', 5, 2)], "
        "normal_concat=range(2, 6))",
        {"normal": CellGenotype(((("max_pool_3x3", 0),), (("skip_connect", 2),)), (2, 3))},
    ),
    "edges (FairDARTS)": (
        "Genotype(normal=[('sep_conv_3x3', 2, 0), ('sep_conv_5x5', 2, 1), ('max_pool_3x3', 4, 0), "
        "('sep_conv_3x3', 5, 4)], normal_concat=range(2, 6), "
        "reduce=[('skip_connect', 3, 1), ('skip_connect', 3, 0), ('avg_pool_3x3', 2, 1)], reduce_concat=[2, 3])",
        {
            "normal": CellGenotype(
                ((("sep_conv_3x3", 0), ("sep_conv_5x5", 1)), (("max_pool_3x3", 0),), (("sep_conv_3x3", 3),)), (2, 3, 4)
            ),
            "reduce": CellGenotype(((("avg_pool_3x3", 1),), (("skip_connect", 1), ("skip_connect", 0))), (2, 3)),
        },
    ),
}


def read(text, name=None):
    """What stands in a text, whether or not a space has such a genotype."""
    entries = [entry for entry in found(text) if name in (None, entry.name)]
    documents = [entry.read() for entry in entries]
    assert all(document == documents[0] for document in documents)
    assert documents[0]["space"] == "darts"
    return {
        kind: CellGenotype(tuple(tuple(map(tuple, node)) for node in cell["nodes"]), tuple(cell["concat"]))
        for kind, cell in documents[0]["cells"].items()
    }


def test_arnas_has_accurate_cells_before_the_second_reduction_and_robust_ones_after():
    genotype = parse(READ["three cell types (ARNAS)"][0])
    space = space_of(genotype)
    assert space.cell_types == ("accurate", "robust", "reduce")
    with torch.device("meta"):
        network = space.network(genotype, (3, 8, 8), 2, cells=6, channels=4)
    assert network.skeleton.cell_types == ("accurate", "accurate", "reduce", "accurate", "reduce", "robust")


@pytest.mark.parametrize("form", READ)
def test_forms_of_darts(form):
    text, cells = READ[form]
    assert read(text) == cells


def test_what_the_space_has_becomes_its_genotype():
    assert parse(PLAIN) == GENOTYPE
    assert parse(published_text(to_json(published("DARTS_V2")))) == published("DARTS_V2")


STRING = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
READ_AS_STRING = {
    "plain": (STRING, STRING),
    "nothing but none": ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",) * 2,
    "Structure": (f"Structure(4 nodes with {STRING})", STRING),
    "blanks": (STRING.replace("+", " + ").replace("|a", " | a"), STRING),
    "no outer bars": (STRING.replace("|+|", "+").strip("|"), STRING),
    "log line": (f"genotype : {STRING}\n", STRING),
    "log line with time": (f"[2020-01-02 03:04:05] [epoch=049] genotype: {STRING}, loss=0.2", STRING),
    "comments": (f"# the best one\n{STRING}  # 94.37\r\n", STRING),
    "the same twice": (f"{STRING}\n{STRING}\n", STRING),
    "names of NAS-Bench-101": (
        "|conv3x3-bn-relu~0|+|none~0|conv1x1-bn-relu~1|+|none~0|none~1|none~2|",
        "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|none~2|",
    ),
    "index": ("13433", string_at(13433)),
    "index in a file": ("# rank 3\n7\n", string_at(7)),
    "digits": (
        "022210",
        "|none~0|+|nor_conv_1x1~0|nor_conv_1x1~1|+|nor_conv_1x1~0|skip_connect~1|none~2|",
    ),
    "digits, not an index": ("000001\n", "|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|"),
    "digits of every kind": (
        "012340",
        "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|",
    ),
}
# NASLib: 0 skip, 1 none, 2 3x3, 3 1x1, 4 pool, on the edges 1-2, 1-3, 1-4, 2-3, 2-4, 3-4 of nodes 1 to 4
NASLIB = "|avg_pool_3x3~0|+|skip_connect~0|none~1|+|nor_conv_1x1~0|avg_pool_3x3~1|nor_conv_3x3~2|"
READ_AS_STRING |= {
    f"NASLib {text}": (text, NASLIB)
    for text in ("(4, 0, 3, 1, 4, 2)", "[4,0,3,1,4,2]", "4, 0, 3, 1, 4, 2\n", "[4 0 3 1 4 2]", "(4, 0, 3, 1, 4, 2,)")
}


@pytest.mark.parametrize("form", READ_AS_STRING)
def test_forms_of_nasbench201(form):
    text, expected = READ_AS_STRING[form]
    genotype = parse(text)
    assert genotype.space == "nasbench201"
    assert architecture_string(genotype) == expected


V2 = published_text(to_json(published("DARTS_V2"))).replace("normal_concat=", "\nnormal_concat=")
CONCAT = "[2, 3, 4, 5]"
REFUSED = {
    "nothing": ("", r"Expected a genotype: .*; got nothing"),
    "blanks": ("  \n", r"got nothing"),
    "another text": ("import os", r"Expected a genotype: .*Genotype\(normal=.*; got 'import os'"),
    "code": ("__import__('os').getcwd()", r"Expected a genotype: .*; got \"__import__\('os'\)\.getcwd\(\)\""),
    "another call": (V2.replace("Genotype(", "Phenotype("), r"Expected a genotype"),
    "too long": ("x" * (LONGEST_TEXT + 1), r"got a text of more than 2000000 characters"),
    "truncated": (V2[:350], r"in line 1: expected \) to close it, got its end in line 2; .*truncated\? Give all of it"),
    "truncated in a log": (
        f"a = {PLAIN[:90]}\nloss 0.3\n",
        r"expected \) to close it, got its end in line 3; is the t",
    ),
    "truncated dictionary": ("{'normal': [('none', 0)], 'normal_concat': [2", r"expected \] to close it.*truncated"),
    "truncated string": (STRING[:40], r"node 2: |with 2 groups"),
    "two": (f"{PLAIN}\n{OTHER}", r"Expected one genotype, found 2\. Say which, as FILE:NAME: 1, 2$"),
    "brackets that don't match": (PLAIN.replace("range(2, 6)", "range(2, 6]", 1), r"expected \) in line 1, got \]"),
    "brackets in one another": ("Genotype(a=" + "(" * 10_000, r"12 brackets in one another"),
    "signs": ("Genotype(normal=" + "-" * 60_000 + "1)", r"got text that isn't|expected text, a number"),
    "a call": (V2.replace(CONCAT, "open('x')"), r"normal_concat: expected text, .* got open\('x'\) \(line 2\)"),
    "a call of a method": (V2.replace(CONCAT, "os.system('x')"), r"normal_concat: .* got os.system\('x'\)"),
    "a sum": (V2.replace(CONCAT, "[2, 1 + 2]"), r"normal_concat: .* got 1 \+ 2"),
    "a name": (V2.replace(CONCAT, "concat"), r"normal_concat: .* got concat \(line 2\)"),
    "a power": (V2.replace(CONCAT, "range(2, 10**9)"), r"normal_concat: .* got 10 \*\* 9"),
    "a long range": (V2.replace(CONCAT, "range(2, 1000000000)"), r"normal_concat: expected a short range"),
    "no range": (V2.replace(CONCAT, "range(2, 6, 0)"), r"normal_concat: expected a short range"),
    "a range of text": (V2.replace(CONCAT, "range('2')"), r"normal_concat: expected a short range"),
    "bytes": (V2.replace("('sep_conv_3x3', 0)", "(b'sep_conv_3x3', 0)"), r"normal: expected text.* got b'sep"),
    "a list comprehension": (V2.replace(CONCAT, "[i for i in (2, 3)]"), r"normal_concat: expected text"),
    "an odd number": (V2.replace("normal=[", "normal=[('none', 0), "), r"normal: expected 2 operations .* got 9 op"),
    "a node that isn't there": (V2.replace(CONCAT, "range(2, 7)"), r"normal, concat: .* 2 to 5, got 6"),
    "an input below 0": (
        V2.replace("('sep_conv_3x3', 0)", "('sep_conv_3x3', -1)"),
        r"normal, node 1, operation 1: .*-1",
    ),
    "an unknown operation": (
        V2.replace("sep_conv_3x3', 0", "sep_conv_9x9', 0"),
        r"node 1, operation 1: unknown op",
    ),
    "text for a cell": ("Genotype(normal='skip', normal_concat=[2])", r"normal, nodes: expected a list, got 'skip'"),
    "no keywords": (
        "Genotype([('skip_connect', 0)], [2])",
        r"in line 1: expected keyword arguments alone",
    ),
    "stars": ("Genotype(**{'normal': []})", r"Genotype\(…\) in line 1: expected NAME=…, got \*\*"),
    "stars in a dictionary": ("{'normal': [], **x, 'normal_concat': []}", r"expected 'NAME': …, got \*\*"),
    "a cell is missing": (V2[: V2.index("reduce=")] + ")", r"reduce: this cell is missing"),
    "no concat": (V2[: V2.index("reduce_concat")] + ")", r"reduce, concat: expected a list, got nothing"),
    "a dictionary of one cell": (
        '{"normal": [["sep_conv_3x3", 1], ["skip_connect", 0]], "normal_concat": [2,3,4,5]}',
        r"reduce: this cell is missing",
    ),
    "edges from a later node": (
        "Genotype(normal=[('skip_connect', 2, 3)], normal_concat=[2])",
        r"normal, operation 1: expected \(operation, node, input\) .* got \('skip_connect', 2, 3\)",
    ),
    "edges and a list as output": (
        "Genotype(normal=[('skip_connect', 2, 0)], normal_concat=[[2]])",
        r"normal, concat: expected a whole number as index, got \[2\]",
    ),
    "edges from no node alone": ("Genotype(normal=[('skip_connect', 4, 3)], normal_concat=[4])", r"reduce: .* missing"),
    "edges to a node far away": ("Genotype(normal=[('a', 10000000, 1)], normal_concat=[2])", r"normal, operation 1"),
    "another operation of NAS-Bench-101": (
        "|maxpool3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|",
        r"node 1, operation 1: unknown operation 'maxpool3x3'",
    ),
    "an index of no architecture": ("15625", r"whole number from 0 to 15624, got 15625"),
    "a digit of no operation": (
        "012345",
        r"operation 6: expected a digit from 0 to 4 .*got 5 in 012345; .*index",
    ),
    "an index of no operation": (
        "(4, 0, 3, 1, 4, 5)",
        r"operation 6: expected one of NASLib's .* 0 to 4 .*got 5",
    ),
    "a distribution": ("alpha ~ normal(0, 1)\n| rho ~ x |", r"Expected a genotype"),
    "five numbers": ("(4, 0, 3, 1, 4)", r"Expected a genotype"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what):
    text, message = REFUSED[what]
    with pytest.raises(GenotypeError, match=message) as caught:
        parse(text)
    assert len(str(caught.value)) < 600


FILE = f"""import os
# OLD = {PLAIN}
FIRST = {PLAIN}
PC_DARTS = {OTHER}
BEST = PC_DARTS
CHOSEN = BEST  # of all
LOST = Genotype(normal=os.environ, normal_concat=[2])
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "genotypes.py"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize("name", ["PC_DARTS", "pc-darts", "PcDarts", "BEST", "CHOSEN", "4"])
def test_one_of_several_in_a_file(file, name):
    assert load(file, name=name) == parse(OTHER) == read_genotype(f"{file}:{name}")
    assert load(file, name="FIRST") == parse(PLAIN) != parse(OTHER)


def test_names_are_listed_where_none_or_a_wrong_one_is_given(file):
    with pytest.raises(
        GenotypeError, match=r"genotypes.py: Expected one genotype, found 5.*FIRST, PC_DARTS, LOST, BEST, CHOSEN$"
    ):
        read_genotype(str(file))
    with pytest.raises(GenotypeError, match=r"unknown genotype 'PC_DART'; choose from FIRST, .*; nearest: PC_DARTS"):
        read_genotype(f"{file}:PC_DART")
    with pytest.raises(GenotypeError, match=r"unknown genotype 'OLD'"):
        load(file, name="OLD")  # in a comment
    with pytest.raises(GenotypeError, match=r"genotypes.py: normal: expected text, .* got os.environ \(line 7\)"):
        load(file, name="LOST")


def test_names_that_stand_for_several_are_told_apart_by_their_lines(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text(f"epoch 1\ngenotype = {PLAIN}\nepoch 2\ngenotype = {OTHER}\n")
    with pytest.raises(GenotypeError, match=r"found 2.*FILE:NAME: 2, 4$"):
        load(log)
    with pytest.raises(GenotypeError, match=r"of the name genotype, found 2.*FILE:LINE: 2, 4$"):
        read_genotype(f"{log}:genotype")
    assert read_genotype(f"{log}:4") == parse(OTHER)


def test_what_a_user_gives_is_a_file_a_name_or_the_text_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "PC_DARTS").write_text(PLAIN)
    assert read_genotype("PC_DARTS") == parse(PLAIN)  # a file comes first
    assert read_genotype("pc-darts") == published("PC_DARTS") != parse(PLAIN)
    assert read_genotype(PLAIN) == parse(PLAIN)
    assert read_genotype(STRING) == read_genotype(f"{STRING}\n") == parse(STRING)
    assert read_genotype("13433") == parse("13433")
    with pytest.raises(GenotypeError, match=r"absent\.txt: .*can't read it"):
        read_genotype("absent.txt")
    with pytest.raises(GenotypeError, match=r"folder/absent: .*can't read it"):
        read_genotype("folder/absent")
    with pytest.raises(GenotypeError, match=r"unknown published genotype 'PC_DARST'.*nearest: PC_DARTS"):
        read_genotype("PC_DARST")
    with pytest.raises(GenotypeError, match="normal: expected 2 nodes, got 4"):
        load(tmp_path / "PC_DARTS", DartsSpace(nodes=2))


def test_a_file_that_cant_be_read_is_named(tmp_path):
    path = tmp_path / "broken.txt"
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(GenotypeError, match=r"broken.txt: .*are no text"):
        load(path)
    path.write_text("x" * (LONGEST_TEXT + 1))
    with pytest.raises(GenotypeError, match=r"broken.txt: .*more than"):
        load(path)


@pytest.mark.slow
def test_a_long_log_is_read_in_reasonable_time():
    log = "".join(f"12/03 01:02:03 AM train {step} 0.25 {'(' * (step % 3)}it's\n" for step in range(15_000))
    started = time.process_time()
    assert parse(f"{log}genotype = {PLAIN}\n{log}") == parse(PLAIN)
    for text in ("a" * 500_000, "Genotype(" * 20_000, "{'a':[" * 20_000, "|a" * 300_000 + "~", "'" * 800_000):
        with pytest.raises(GenotypeError):
            parse(text)
    assert time.process_time() - started < 5


@st.composite
def cells(draw, inputs=2):
    nodes = []
    for index in range(inputs, inputs + draw(st.integers(1, 4))):
        pairs = st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, index - 1))
        nodes.append(tuple(draw(st.lists(pairs, min_size=1, max_size=3))))
    concat = draw(st.lists(st.integers(inputs, inputs + len(nodes) - 1), min_size=1, unique=True))
    return CellGenotype(tuple(nodes), tuple(concat))


@settings(max_examples=40, deadline=None)
@given(st.builds(lambda normal, reduce: Genotype("darts", {"normal": normal, "reduce": reduce}), cells(), cells()))
def test_published_text_round_trip(genotype):
    """Whatever the space: what is written is what is read, before a space looks at it."""
    assert read(published_text(to_json(genotype))) == genotype.cells


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 15624))
def test_published_text_round_trip_on_nasbench201(index):
    genotype = Nasbench201Space().genotype(index)
    assert published_text(to_json(genotype)) == string_at(index)
    assert parse(string_at(index)) == parse(str(index)) == genotype


FRAGMENTS = [PLAIN, V2, STRING, FILE, *(text for text, _ in (*READ.values(), *READ_AS_STRING.values()))]
PIECES = st.one_of(
    st.sampled_from(["Genotype(", "normal=[", "('none', 0)", "_concat", "{'normal':[", "|none~0|", "range(", "1e999"]),
    st.sampled_from(["np.int64(", '{"schema": ', "\x00", "\\", "\ud800", *"'\"()[]{},=:~0-+#\n"]),
)


def is_a_genotype_or_refused(text):
    with contextlib.suppress(GenotypeError):
        genotype = parse(text)
        assert isinstance(genotype, Genotype)
        assert parse(json.dumps(to_json(genotype))) == genotype


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=25).map("".join)))
def test_any_text_is_a_genotype_or_refused(text):
    is_a_genotype_or_refused(text)
    with contextlib.suppress(GenotypeError):
        read_genotype(text)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_text_is_a_genotype_or_refused(data):
    text = data.draw(st.sampled_from(FRAGMENTS))
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 20)))
    is_a_genotype_or_refused(text[:start] + data.draw(st.one_of(st.text(max_size=4), PIECES)) + text[stop:])


@pytest.mark.parametrize(
    "code",
    [
        "__import__('os').mkdir({path!r})",
        "open({path!r}, 'w')",
        "(lambda: open({path!r}, 'w'))()",
        "list(open({path!r}, 'w'))",
    ],
)
def test_nothing_in_a_text_is_executed(code, tmp_path):
    code = code.format(path=str(tmp_path / "made"))
    for text in (code, f"Genotype(normal={code}, normal_concat=[2])", f"{{'normal': [{code}], 'normal_concat': [2]}}"):
        with pytest.raises(GenotypeError):
            parse(text)
        (tmp_path / "file.py").write_text(text)
        with pytest.raises(GenotypeError):
            read_genotype(str(tmp_path / "file.py"))
    assert not (tmp_path / "made").exists()
