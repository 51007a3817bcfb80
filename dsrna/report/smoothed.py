"""Randomised smoothing's numbers in ``evaluation.json`` as a person reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsrna.report.results import Row, Value, percent


@dataclass(frozen=True)
class SmoothedRow:
    """One network in the table of smoothed classifiers, as text.

    Attributes:
        title: the network.
        details: the noise, how many copies, and on how many images.
        correct, abstained: shares of the images.
        certified: at every eps of :func:`smoothed_eps`.
        radius: mean over all images.
    """

    title: str
    details: str
    correct: str
    abstained: str
    certified: list[str]
    radius: str


def smoothed_eps(evaluation: dict[str, Any]) -> list[float]:
    """The l_2 radii of the table's columns."""
    return sorted({point["eps"] for network in _smoothed(evaluation).values() for point in network["curve"]})


def smoothed_rows(evaluation: dict[str, Any]) -> list[SmoothedRow]:
    """One row for each network that was smoothed."""
    rows = []
    for name, smoothing in _smoothed(evaluation).items():
        points = {point["eps"]: percent(point["certified"]) for point in smoothing["curve"]}
        rows.append(
            SmoothedRow(
                title=evaluation["networks"][name]["title"],
                details=_details(smoothing),
                correct=percent(smoothing["correct"]),
                abstained=percent(smoothing["abstained"]),
                certified=[points.get(eps, "\u2013") for eps in smoothed_eps(evaluation)],
                radius=f"{smoothing['radius']:.3f}",
            )
        )
    return rows


def smoothed_row(evaluation: dict[str, Any]) -> Row | None:
    """The row of the result table, where the threat is in l_2 and its radius was asked for; else None."""
    threat = evaluation["threat"]
    if threat["norm"] != "l2":
        return None
    smoothed, values = _smoothed(evaluation), []
    for name in evaluation["networks"]:
        curve = smoothed[name]["curve"] if name in smoothed else []
        point = next((point for point in curve if point["eps"] == threat["eps"]), None)
        values.append(Value.of(point["certified"], point["certified_interval"]) if point else None)
    if not any(values):
        return None
    details = list(dict.fromkeys(_details(smoothing) for smoothing in smoothed.values()))
    return Row("Certified by randomised smoothing: of the smoothed classifier", "", details, values)


def _smoothed(evaluation: dict[str, Any]) -> dict[str, Any]:
    networks = evaluation["networks"].items()
    return {name: network["smoothing"] for name, network in networks if network.get("smoothing")}


def _details(smoothing: dict[str, Any]) -> str:
    parts = [
        f"dsrna {smoothing['version']}",
        f"sigma {smoothing['sigma']:g}",
        f"{smoothing['samples']:,} copies",
        f"wrong with probability {smoothing['failure']:g} at most",
        f"the first {smoothing['images']:,} images",
    ]
    return " \u00b7 ".join(parts)
