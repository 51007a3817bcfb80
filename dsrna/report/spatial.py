"""Accuracy on rotated and shifted images as a person reads it."""

from __future__ import annotations

from typing import Any

from dsrna.report.results import Row, Value


def spatial_row(evaluation: dict[str, Any]) -> Row | None:
    """The row of the table of results; None where nothing was rotated."""
    found = {name: network["spatial"] for name, network in evaluation["networks"].items() if network.get("spatial")}
    if not found:
        return None
    values = [
        Value.of(found[name]["accuracy"], found[name]["interval"]) if name in found else None
        for name in evaluation["networks"]
    ]
    details = list(dict.fromkeys(spatial_details(one) for one in found.values()))
    return Row("Rotated and shifted at worst: another threat", "", details, values)


def spatial_details(one: dict[str, Any]) -> str:
    """By how much, and on how many images."""
    count = one["rotations"] * one["translations"] ** 2
    return (
        f"foolbox, up to {one['rotation']:g} degrees and {100 * one['translation']:.3g} % of the side, {count:,} places"
        f" · the first {one['images']:,} images"
    )
