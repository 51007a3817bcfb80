"""What the published tables say of a derived architecture, as rows of ``verdict.json``."""

from __future__ import annotations

import math
from typing import Any

Row = dict[str, Any]

_TITLES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet16_120": "ImageNet16-120"}
_SAME = (("cifar10", "cifar10"), ("cifar100", "cifar100"))
_HEADLINES = (("adversarial training", 8 / 255), ("standard training", 1 / 255))
"""The eps at which a table's PGD column tells most of its networks apart."""


def published_title(document: dict[str, Any]) -> str:
    """Which images the published accuracies are of, and which ones the search saw where they are others."""
    title = _TITLES[document["dataset"]]
    searched_on = document["searched_on"]
    if (searched_on, document["dataset"]) in _SAME:
        return title
    return f"{title} (the search saw other images: {searched_on})"


def telling_rows(document: dict[str, Any]) -> list[Row]:
    """The rows that say something: of networks trained without adversary, those at the headline's eps alone."""
    return [
        row
        for row in document["rows"]
        if row["eps"] is None or row["training"] != "standard training" or _is_headline_eps(row)
    ]


def headline_rows(document: dict[str, Any]) -> list[Row]:
    """Of each table, the accuracy under PGD at the headline's eps, where it has one."""
    return [row for row in document["rows"] if row["metric"] == "pgd" and _is_headline_eps(row)]


def published_name(row: Row) -> str:
    """What a row is the accuracy of, for tables over several runs, e.g. ``pgd 8/255, adversarial training``."""
    return f"{row['label']}, {row['training']}"


def _is_headline_eps(row: Row) -> bool:
    return row["eps"] is not None and any(
        row["training"] == training and math.isclose(row["eps"], eps, rel_tol=1e-6) for training, eps in _HEADLINES
    )
