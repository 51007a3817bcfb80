"""Published searches that a row can name: each composes, is told from the others, and says what it is of."""

import re

import pytest

from dsrna.comparing.collect import searched_by
from dsrna.config.catalog import choices, conf_folder, description
from dsrna.config.compose import compose
from dsrna.config.fingerprint import fingerprint_of
from dsrna.config.validate import validated

METHODS = choices("search_method")
PAGE = conf_folder().parent / "docs" / "comparison.md"


def comments(name):
    """(what it is, where it differs) as the file says."""
    lines = (conf_folder() / "search_method" / f"{name}.yaml").read_text().splitlines()
    of_head = [line.removeprefix("# ") for line in lines[1 : lines.index("defaults:")]]
    return of_head[0], " ".join(of_head[1:]).removeprefix("Differs: ")


@pytest.mark.parametrize("name", METHODS)
def test_each_says_its_source_and_where_it_differs(name):
    source, differs = comments(name)
    assert re.search(r"\b20[12]\d\b|arXiv \d{4}", source)
    assert re.search(r"arXiv \d{4}\.\d{5}\b|doi ", source)
    assert differs.endswith(".")
    assert description("search_method", name) == source


@pytest.mark.parametrize("name", METHODS)
def test_the_page_says_the_same(name):
    source, differs = comments(name)
    assert f"| `{name}` | {source} | {differs[0].lower() + differs[1:].removesuffix('.')} |" in PAGE.read_text()


@pytest.fixture(scope="module")
def composed():
    return {name: validated(compose("search", [f"+search_method={name}"])) for name in METHODS}


@pytest.mark.slow
def test_no_two_search_alike(composed):
    names = {fingerprint_of(settings): name for name, settings in composed.items()}
    assert sorted(names.values()) == sorted(METHODS)


@pytest.mark.slow
def test_nothing_but_the_search_is_theirs(composed):
    plain = validated(compose("search", []))
    of_searches = {"strategy", "regulariser", "search_schedule", "selection", "metric", "metric_join", "hypergradient"}
    for name, settings in composed.items():
        different = {key for key, value in settings if value != getattr(plain, key)}
        assert different <= of_searches | {"search", "name"}, name
        assert {key for key, value in settings.search if value != getattr(plain.search, key)} <= {
            "weights_objective", "architecture_objective"
        }, name  # fmt: skip


@pytest.mark.slow
def test_what_was_chosen_before_does_not_stay():
    """An experiment's regularisers and objectives are not a method's."""
    before = ["+experiment=nb201_robust", "space=darts", "regulariser=[]"]
    found = validated(compose("search", [*before, "+search_method=pcdarts"]))
    assert found.metric.weight == 0
    assert found.strategy["_target_"].endswith("PCDarts")
    assert found.search.weights_objective["_target_"].endswith("Standard")


def test_a_row_is_told_by_its_source_and_what_else_was_set():
    found = searched_by(["+search_method=advrush", "search.epochs=60"], [])
    assert found == "AdvRush: Mok et al., ICCV 2021, arXiv 2108.01289; search.epochs=60"
    assert searched_by(["strategy=gaea"], []) == "search strategy=gaea"


@pytest.mark.slow
def test_wsr_nas_mixes_eight_parts_and_two():
    metric = compose("search", ["+search_method=wsrnas"]).metric
    assert metric.weight / (1 + metric.weight) == pytest.approx(0.2)
    assert len(metric.shares) > 1
