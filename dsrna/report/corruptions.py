"""Accuracy on corrupted images as a person reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsrna.report.results import percent


@dataclass(frozen=True)
class CorruptionRow:
    """One network in the table of corruptions, as text.

    Attributes:
        title: the network.
        details: which images, how many, which corruption was worst.
        clean, mean: accuracies.
        mce: mean corruption error, and by what it is divided.
        by_severity: one a severity of :func:`corruption_severities`.
    """

    title: str
    details: str
    clean: str
    mean: str
    mce: str
    by_severity: list[str]


def corruption_severities(evaluation: dict[str, Any]) -> list[str]:
    """The severities that a network was measured at, as column titles."""
    found = [network["corruptions"]["by_severity"] for network in _measured(evaluation)]
    return sorted({severity for severities in found for severity in severities})


def corruption_rows(evaluation: dict[str, Any]) -> list[CorruptionRow]:
    """One row for each network that corrupted images were shown to."""
    severities = corruption_severities(evaluation)
    rows = []
    for network in _measured(evaluation):
        found = network["corruptions"]
        worst = min(found["records"], key=lambda record: record["accuracy"])
        images = "published images" if found["source"] == "published" else f"dsrna {worst['version']}"
        name = f"{worst['corruption'].replace('_', ' ')} at severity {worst['severity']}"
        rows.append(
            CorruptionRow(
                title=network["title"],
                details=f"{images} · {worst['images']:,} images each · worst: {name}, {percent(worst['accuracy'])}",
                clean=percent(network["result"]["clean"]["accuracy"]),
                mean=_percent(found["mean"]),
                mce=_mce(found.get("mce")),
                by_severity=[_percent(found["by_severity"].get(severity)) for severity in severities],
            )
        )
    return rows


def _measured(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    return [network for network in evaluation["networks"].values() if network.get("corruptions")]


def _mce(found: dict[str, Any] | None) -> str:
    if found is None:
        return "\u2013"
    return percent(found["value"]) + (" of AlexNet's" if found["normaliser"] == "alexnet" else "")


def _percent(fraction: float | None) -> str:
    return "\u2013" if fraction is None else percent(fraction)
