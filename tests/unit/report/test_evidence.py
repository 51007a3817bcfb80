"""Is it a result, or noise? Movement computed by hand, and the words for it on the page."""

import math

import pytest

from dsrna.files import write_json
from dsrna.json_files import read_json
from dsrna.report import write_report
from dsrna.report.evidence import compared_sentences, is_alarming, moved_sentences, verdict_sentence
from dsrna.report.movement import movement
from dsrna.testing.run_folders import build_run_folder, example_evidence

OPERATIONS = ["none", "skip_connect", "conv"]
EDGES = [[0, 2], [1, 2], [0, 3], [1, 3], [2, 3]]


def genotype(*nodes):
    return {"space": "darts", "cells": {"normal": {"nodes": [list(node) for node in nodes], "concat": [2, 3]}}}


FIRST = genotype([["conv", 0], ["conv", 1]], [["conv", 0], ["conv", 1]])
SECOND = genotype([["conv", 0], ["skip_connect", 1]], [["conv", 0], ["conv", 2]])


def architecture(*genotypes, operations=None, edges=None):
    rows = operations or [[1 / 3] * 3] * 5
    epochs = [
        {"epoch": epoch, "weights": {"normal": {"operations": rows, "edges": edges}}, "genotype": found}
        for epoch, found in enumerate(genotypes)
    ]
    return {"space": "darts", "primitives": OPERATIONS, "cells": {"normal": {"edges": EDGES}}, "epochs": epochs}


WEIGHTS = [[0.8, 0.05, 0.15], [0.0, 0.6, 0.4], [0.2, 0.3, 0.5], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]
EDGE_WEIGHTS = [0.5, 0.5, 0.4, 0.3, 0.3]


def test_movement_by_hand():
    found = movement(architecture(FIRST, SECOND, operations=WEIGHTS, edges=EDGE_WEIGHTS))
    entropies = [-sum(w * math.log(w) for w in row if w) / math.log(3) for row in WEIGHTS]
    assert found.entropy == pytest.approx(sum(entropies) / 5)
    assert found.largest_gap == pytest.approx(1.0)
    assert found.uniform == pytest.approx(1 / 3)
    first, second, third, fourth, fifth = found.edges
    assert (first.operation, first.runner_up) == ("conv", "skip_connect"), "`none` is no choice of a derived cell"
    assert first.lead == pytest.approx(2 / 3)
    assert (second.operation, second.weight, second.runner_up_weight) == ("skip_connect", 0.6, 0.4)
    assert (fourth.gap, fourth.kept) == (0.0, False)
    assert [edge.kept for edge in found.edges] == [True, True, True, False, True]
    assert fifth.strength == pytest.approx(0.3)
    assert found.closest == second, "the closer one, on edge 1 -> 3, is not in the cell"
    (node,) = found.nodes
    assert (node.node, node.kept, node.left_out) == (3, third, fourth)  # .2 and .15
    assert node.lead == pytest.approx(0.25)


def test_equal_weights_have_not_moved_and_decided_ones_have():
    assert movement(architecture(FIRST)).entropy == pytest.approx(1.0)
    assert movement(architecture(FIRST)).largest_gap == 0
    decided = movement(architecture(FIRST, operations=[[0.0, 0.0, 1.0]] * 5))
    assert (decided.entropy, decided.largest_gap) == (0.0, 1.0)
    off_the_simplex = movement(architecture(FIRST, operations=[[0.5, 0.5, 0.5]] * 5))
    assert off_the_simplex.entropy == pytest.approx(1.0)
    assert movement(architecture()) is None


@pytest.mark.parametrize(
    ("genotypes", "epoch"),
    [
        ([FIRST], None),
        ([FIRST] * 4, None),
        ([FIRST, SECOND, SECOND], 2),
        ([FIRST, SECOND, FIRST, FIRST], 3),
        ([FIRST, SECOND, FIRST, SECOND], 4),
    ],
)
def test_the_epoch_in_which_the_derived_cell_last_changed(genotypes, epoch):
    found = movement(architecture(*genotypes))
    assert found.last_change == epoch
    text = " ".join(moved_sentences(found))
    assert ("same since the end of the first epoch" if epoch is None else f"in epoch {epoch} of") in text


@pytest.mark.parametrize(
    ("verdict", "said", "alarm"),
    [
        ("indistinguishable", "Not distinguishable from a random cell: rank 26 of 65", True),
        ("worse", "Worse than random cells: rank 26 of 65", True),
        ("better", "Better than random cells: rank 26 of 65", False),
        ("too few", "64 random cells are too few", False),
    ],
)
def test_the_verdict_in_words(verdict, said, alarm):
    evidence = example_evidence(verdict=verdict)
    assert said in verdict_sentence(evidence)
    assert is_alarming(evidence) == alarm


@pytest.mark.slow
@pytest.mark.parametrize("verdict", ["worse", "better"])
def test_the_verdict_on_the_page(tmp_path, verdict):
    evidence = example_evidence(verdict=verdict)
    said, alarm = f"{verdict.capitalize()} than random cells: rank 26 of 65", verdict == "worse"
    folder = build_run_folder(tmp_path / "run", parts=("search",), epochs=2)
    write_json(folder.evidence_json, evidence)
    page = write_report(folder.path).read_text()
    assert page.count(said) == 1 + alarm, "in its section, and at the top where it alarms"
    assert "Is it a result, or noise?" in page
    assert "rank 26 of 65, better than 60.9\u202f%" in page
    assert (folder.plots_dir / "random_cells.png").exists()


@pytest.mark.parametrize(
    ("mixture", "derived", "telling"),
    [(0.8, 0.377, False), (0.55, 0.377, True), (0.8, 0.51, True), (0.3, 0.1, True)],
)
def test_paths_of_weights_that_were_trained_for_a_mixture_tell_little(mixture, derived, telling):
    """The middle random cell is right on 36.3 %, guessing on 20 %."""
    evidence = example_evidence()
    found = evidence["random_cells"]
    found |= {"classes": 5, "mixture": {"loss": 1.0, "accuracy": mixture, "objective_accuracy": mixture}}
    found["derived"]["accuracy"] = derived
    said = verdict_sentence(evidence)
    assert said.startswith("Not distinguishable from a random cell: rank 26 of 65")
    assert ("tells little" in said) != telling
    if not telling:
        assert "right on 80.0\u202f% of these images" in said
        assert "the middle one of the random cells on 36.3\u202f%" in said


def test_the_verdict_is_by_the_accuracy_under_the_search_s_own_attack():
    evidence = example_evidence()
    found = evidence["random_cells"]
    found["objective_accuracy"] = dict(found["accuracy"], rank=2, verdict="better")
    found["decides"] = "objective_accuracy"
    assert verdict_sentence(evidence).startswith("Better than random cells: rank 2 of 65")
    assert "under the attack of the search's objective (some training)" in compared_sentences(evidence)[0]


@pytest.mark.usefixtures("text_alone")
@pytest.mark.slow
def test_what_happened_on_the_way_is_on_the_page(tmp_path):
    folder = build_run_folder(tmp_path / "run", parts=("search",), epochs=2)
    document = read_json(folder.architecture_json)
    assert "What happened on the way" not in write_report(folder.path).read_text()
    document["epochs"][1]["events"] = ["The search is <collapsing>.", "The search ends: two skips."]
    write_json(folder.architecture_json, document)
    page = write_report(folder.path).read_text()
    assert "<li>Epoch 2: The search is &lt;collapsing&gt;.</li>" in page
    assert "<li>Epoch 2: The search ends: two skips.</li>" in page


@pytest.mark.usefixtures("text_alone")
@pytest.mark.slow
def test_decisions_of_the_selection_are_on_the_page_by_what_they_cost(tmp_path):
    def score(accuracy):
        return {"loss": 1.0, "accuracy": 0.9, "objective_accuracy": accuracy}

    without = {"<pool>": score(0.51), "skip_connect": score(0.45), "conv": score(0.5)}
    decision = {"cell_type": "reduce", "place": "0 -> 2", "kept": ["conv"], "score": score(0.5), "without": without}
    folder = build_run_folder(tmp_path / "run", parts=("search",), epochs=2)
    assert "place by place" not in write_report(folder.path).read_text()
    write_json(folder.evidence_json, example_evidence() | {"candidates": [], "decisions": [decision]})
    page = write_report(folder.path).read_text()
    assert "place by place" in page
    assert "skip_connect +5.0, conv +0.0, &lt;pool&gt; -1.0" in page
    assert '0 -&gt; 2</th><td>conv</td><td class="number">50.0' in page


@pytest.mark.usefixtures("text_alone")
def test_what_could_not_be_compared_is_named(tmp_path):
    evidence = example_evidence() | {"random_cells": None, "left_out": "no images for <it>"}
    assert verdict_sentence(evidence) is None
    folder = build_run_folder(tmp_path / "run", parts=("search",), epochs=2)
    write_json(folder.evidence_json, evidence)
    assert "no images for &lt;it&gt;" in write_report(folder.path).read_text()


@pytest.mark.usefixtures("text_alone")
def test_the_runner_up_of_every_edge_is_on_the_page(tmp_path):
    folder = build_run_folder(tmp_path / "run", parts=("search",), epochs=2)
    page = write_report(folder.path).read_text()
    for edge in movement(read_json(folder.architecture_json)).edges:
        assert (
            f"<td>{edge.operation} {edge.weight:.4f}</td><td>{edge.runner_up} {edge.runner_up_weight:.4f}</td>" in page
        )
