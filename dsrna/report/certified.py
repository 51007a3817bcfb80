"""The verification's numbers in ``evaluation.json`` as a person reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsrna.report.results import NORM_NAMES, Row, Value, percent

ENGINE_NAMES = {"ibp": "IBP", "crown_ibp": "CROWN-IBP", "crown": "CROWN", "alpha_crown": "alpha-CROWN"}


@dataclass(frozen=True)
class RadiusRow:
    """One network in the table of radii, as text.

    Attributes:
        title: the network.
        norm: of the radii.
        certified, attacked: mean and median of the certified radii, and of the distances of misclassified points.
        details: on how many images, and who proved how many of them.
    """

    title: str
    norm: str
    certified: str
    attacked: str
    details: str


def certified_point(evaluation: dict[str, Any], network: str) -> dict[str, Any] | None:
    """The verification's numbers in the report's threat model; None where it wasn't verified in it."""
    verification, threat = evaluation["networks"][network].get("verification"), evaluation["threat"]
    if verification is None or verification["norm"] != threat["norm"]:
        return None
    return next((point for point in verification["curve"] if point["eps"] == threat["eps"]), None)


def certified_row(evaluation: dict[str, Any]) -> Row | None:
    """The row of the result table that says what is proved in the report's threat model; None where nothing was."""
    networks = evaluation["networks"]
    points = {name: certified_point(evaluation, name) for name in networks}
    values = [Value.of(point["certified"], point["certified_interval"]) if point else None for point in points.values()]
    if not any(values):
        return None
    used = {_detail(networks[name]["verification"]): None for name, point in points.items() if point}
    return Row("Certified: proved for every point of the ball", "", list(used), values)


def radius_rows(evaluation: dict[str, Any]) -> list[RadiusRow]:
    """One row for each network whose radii were measured and that classifies an image correctly."""
    rows = []
    for network in evaluation["networks"].values():
        verification = network.get("verification")
        if verification is None or verification["radius"] is None:
            continue
        radius = verification["radius"]
        proofs = [
            f"{ENGINE_NAMES.get(name, name)} proved {count:,}" for name, count in verification["proved_by"].items()
        ]
        stopped = [f"{count:,} stopped: {reason}" for reason, count in verification["stopped"].items()]
        attacked = "\u2013"
        if radius["attacked_mean"] is not None:
            attacked = f"{radius['attacked_mean']:.4g} (median {radius['attacked_median']:.4g})"
        rows.append(
            RadiusRow(
                title=network["title"],
                norm=NORM_NAMES.get(verification["norm"], verification["norm"]),
                certified=f"{radius['mean']:.4g} (median {radius['median']:.4g})",
                attacked=attacked,
                details=" · ".join(
                    [
                        f"{radius['images']:,} correct images, {radius['attacked_images']:,} attacked successfully",
                        *proofs,
                        *stopped,
                    ]
                ),
            )
        )
    return rows


def most_certified(evaluation: dict[str, Any]) -> str | None:
    """The network of which most is proved in the report's threat model; None where none was verified in it."""
    points = {name: certified_point(evaluation, name) for name in evaluation["networks"]}
    shares = {name: point["certified"] for name, point in points.items() if point}
    return max(shares, key=lambda name: shares[name]) if shares else None


def certified_sentence(evaluation: dict[str, Any]) -> str | None:
    """What is proved of the network of which most is proved, in words; None where nothing was measured."""
    name = most_certified(evaluation)
    point = None if name is None else certified_point(evaluation, name)
    if name is None or point is None:
        return None
    return (
        f"Of the first {point['images']:,} test images, {percent(point['certified'])} are proved to stay correct with "
        f"{evaluation['networks'][name]['title']}, whatever the adversary tries; {percent(1 - point['standing'])} are "
        "misclassified or can be changed."
    )


def _detail(verification: dict[str, Any]) -> str:
    engines = ", ".join(ENGINE_NAMES.get(name, name) for name in verification["engines"])
    return f"dsrna {verification['version']} · {engines} · the first {verification['images']:,} images"
