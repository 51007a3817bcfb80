"""Rows of the report's tables, from the evaluation's records."""

import re

import pytest

from dsrna.report.certified import certified_row, radius_rows
from dsrna.report.results import result_rows, strongest, threat_text
from dsrna.testing.evaluations import example_evaluation


def test_a_verification_in_another_norm_is_no_result_in_the_threat_model() -> None:
    evaluation = example_evaluation()
    for network in evaluation["networks"].values():
        network["verification"]["norm"] = "l2"
    assert certified_row(evaluation) is None
    assert [row.norm for row in radius_rows(evaluation)] == ["\u21132", "\u21132"]


def test_details_that_differ_are_told_apart() -> None:
    evaluation = example_evaluation()
    evaluation["networks"]["baseline"]["result"]["records"][1]["seed"] = 5
    (row,) = [row for row in result_rows(evaluation) if row.label == "PGD-20"]
    assert [re.sub(r".*seed (\d).*", r"\1", detail) for detail in row.details] == ["0", "5"]
    assert row.details[1].startswith("standard training: ")


def test_an_attack_on_one_network_only_leaves_a_gap() -> None:
    evaluation = example_evaluation()
    evaluation["networks"]["baseline"]["result"]["records"].pop(0)
    (row,) = [row for row in result_rows(evaluation) if row.label == "FGSM"]
    assert row.values[0] is not None
    assert row.values[1] is None


def test_another_threat_model_gets_a_row_of_its_own_that_says_so() -> None:
    evaluation = example_evaluation()
    records = evaluation["networks"]["retrain"]["result"]["records"]
    records.append(records[1] | {"norm": "l2", "eps": 0.5, "accuracy": 0.01})
    rows = [row for row in result_rows(evaluation) if row.label == "PGD-20"]
    assert [row.threat for row in rows] == ["", "\u21132, eps 0.5"]
    worst = strongest(evaluation, "retrain")
    assert worst is not None
    assert worst["label"] == "AutoAttack"


def test_the_worst_case_over_all_attacks_is_the_headline() -> None:
    evaluation = example_evaluation()
    records = evaluation["networks"]["retrain"]["result"]["records"]
    lowest = min(record["accuracy"] for record in records)
    names = [record["attack"] for record in records]
    worst = records[0] | {"attack": "worst_case", "label": "Worst case", "accuracy": lowest, "attacks": names}
    records.append(worst)
    assert strongest(evaluation, "retrain") == worst
    (row,) = [row for row in result_rows(evaluation) if row.label == "Worst case"]
    assert row.details == [f"correct under all of {', '.join(names)} · {worst['images']:,} images"]


@pytest.mark.parametrize(
    ("norm", "eps", "text"),
    [
        ("linf", 8 / 255, "\u2113\u221e, eps 8/255"),
        ("linf", 0.1, "\u2113\u221e, eps 0.1"),
        ("l2", 128 / 255, "\u21132, eps 0.502"),
    ],
)
def test_threats_are_written_as_people_write_them(norm: str, eps: float, text: str) -> None:
    assert threat_text(norm, eps) == text
