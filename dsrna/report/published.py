"""What the published tables say of a derived architecture, as rows of ``verdict.json``."""

from __future__ import annotations

from typing import Any

from dsrna.report.results import hundredths

Row = dict[str, Any]

TITLES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet16_120": "ImageNet16-120"}
"""The tables' data sets, as people write them."""


def dataset_title(document: dict[str, Any]) -> str:
    """The data set of the published accuracies, as people write it."""
    return TITLES[document["dataset"]]


def published_title(document: dict[str, Any]) -> str:
    """Which images the published accuracies are of, and which ones the search saw where they are others."""
    title, searched_on = dataset_title(document), document["searched_on"]
    return title if searched_on == document["dataset"] else f"{title} (the search saw other images: {searched_on})"


def informative_rows(document: dict[str, Any]) -> list[Row]:
    """The rows at which networks can be told apart; without adversary in training, no accuracy is left at large eps."""
    return [row for row in document["rows"] if row["telling"]]


def headline_rows(document: dict[str, Any]) -> list[Row]:
    """The row of each table to look at first, where it has one."""
    return [row for row in document["rows"] if row["headline"]]


def pair_rows(document: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Name and accuracies, as text, of the derived architecture and the marks beside it; none in older verdicts."""
    return [
        (mark["name"], ["not known" if value is None else hundredths(value) for value in mark["values"]])
        for mark in document.get("pair", {"marks": []})["marks"]
    ]


def published_name(row: Row) -> str:
    """What a row is the accuracy of, for tables over several runs, e.g. ``pgd 8/255, adversarial training``."""
    return f"{row['label']}, {row['training']}"
