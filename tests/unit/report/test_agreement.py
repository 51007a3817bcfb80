"""The agreement of cells over seeds, against chance."""

import itertools

import numpy as np
import pytest

from dsrna.files import write_json
from dsrna.report import write_sweep_report
from dsrna.report.agreement import SearchedCell, agreement
from dsrna.testing.run_folders import build_run_folder, example_genotype

EDGES = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]


def all_edges(text):
    """A cell of NAS-Bench-201 from its six digits."""
    derived = {("cell", *edge): symbol for edge, symbol in zip(EDGES, text, strict=True)}
    return SearchedCell(tuple("0123s"), {"cell": EDGES}, derived)


def by_hand(texts):
    pairs = list(itertools.combinations(texts, 2))
    observed = sum(a == b for one, other in pairs for a, b in zip(one, other, strict=True)) / (6 * len(pairs))
    return (observed - 0.2) / 0.8


@pytest.mark.parametrize("texts", [("333333",) * 3, ("333333", "333s33", "333233"), ("012301", "333333")])
def test_kappa_by_pairs(texts):
    found = agreement([all_edges(text) for text in texts])
    assert found.kappa == pytest.approx(by_hand(texts))
    assert found.different == len(set(texts))
    assert found.expected == pytest.approx(0.2)


def test_agreement_beyond_chance_is_told_from_random_cells():
    assert agreement([all_edges("333333")] * 5).kappa == 1, "where Fleiss' kappa has no value"
    assert agreement([all_edges(text) for text in ("333333", "333s33", "333233", "332333")]).beyond_chance
    draw = np.random.default_rng(4)
    called = 0
    for _ in range(40):
        cells = [all_edges("".join(draw.choice(list("0123s"), 6))) for _ in range(3)]
        called += agreement(cells).beyond_chance
    assert called <= 6, "one case of twenty"


def test_chance_knows_that_nodes_keep_two_edges():
    edges = {"normal": [(s, t) for t in (2, 3) for s in range(t)]}
    draw, cells = np.random.default_rng(0), []
    for _ in range(300):
        sources = draw.choice(3, 2, replace=False)
        chosen = [(0, 2), (1, 2), *((s, 3) for s in sources)]
        cells.append(
            SearchedCell(("a", "b"), edges, {("normal", *edge): str(draw.choice(["a", "b"])) for edge in chosen})
        )
    found = agreement(cells[:2])
    # node 2 keeps both of its edges: 1/2; node 3 two of three: 1/9 + 4/9 / 2
    assert found.expected == pytest.approx((2 * 0.5 + 3 * (1 / 9 + 2 / 9)) / 5)
    agreeing = [a.derived.get(p) == b.derived.get(p) for a, b in itertools.pairwise(cells) for p in
                [("normal", *edge) for edge in edges["normal"]]]  # fmt: skip
    assert np.mean(agreeing) == pytest.approx(found.expected, abs=0.04)


def test_one_search_or_two_spaces_have_no_agreement():
    assert agreement([all_edges("333333")]) is None
    other = SearchedCell(("a",), {"cell": EDGES}, {})
    assert agreement([all_edges("333333"), other]) is None


@pytest.mark.slow
def test_it_stands_on_the_sweep_s_page(tmp_path):
    for number in range(3):
        folder = build_run_folder(tmp_path / str(number), ("search",), overrides=(f"seed={number}",), epochs=1)
        folder.config_yaml.write_text(f"seed: {number}\n")
    page = write_sweep_report(tmp_path).read_text()
    assert "Do the searches agree?" in page
    assert "agree beyond chance" in page
    genotype = example_genotype()
    genotype["cells"]["normal"]["nodes"][0] = [["sep_conv_5x5", 0], ["sep_conv_5x5", 1]]
    write_json(tmp_path / "0" / "genotype.json", genotype)
    assert '<td class="number">2</td>' in write_sweep_report(tmp_path).read_text(), "different cells"
