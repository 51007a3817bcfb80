"""The numbers of ``evaluation.json`` as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]

NORM_NAMES = {"linf": "\u2113\u221e", "l2": "\u21132", "l1": "\u21131"}


@dataclass(frozen=True)
class Value:
    """One number of the result table with its confidence interval, as text."""

    accuracy: str
    interval: str

    @classmethod
    def of(cls, accuracy: float, interval: Sequence[float]) -> Value:
        """The texts for a share in [0, 1] and the two ends of its interval."""
        low, high = interval
        return cls(percent(accuracy), f"{100 * low:.1f}\u2013{percent(high)}")


@dataclass(frozen=True)
class Row:
    """One row of the result table.

    Attributes:
        label: name of the attack.
        threat: the threat model it attacked in; empty where it is the report's.
        details: how the numbers were got; one line, or one a network where they differ.
        values: one a network, None where it was not attacked so.
    """

    label: str
    threat: str
    details: list[str]
    values: list[Value | None]


def result_rows(evaluation: dict[str, Any]) -> list[Row]:
    """The result table: clean accuracy, every attack, those in further threat models, the grid; columns: networks."""
    columns = [
        {
            _row_key(record): record
            for key in ("records", "further", "grid")
            for record in (result["clean"], *result.get(key, ()))
        }
        for result in (network["result"] for network in evaluation["networks"].values())
    ]
    keys = list(dict.fromkeys(key for column in columns for key in column))
    titles = [network["title"] for network in evaluation["networks"].values()]
    usual = threat_text(**evaluation["threat"])
    rows = []
    for key in keys:
        records = [column.get(key) for column in columns]
        known = [record for record in records if record is not None]
        is_clean = known[0]["attack"] == "clean"
        threat = threat_text(known[0]["norm"], known[0]["eps"])
        rows.append(
            Row(
                label="No attack (clean)" if is_clean else known[0]["label"],
                threat="" if is_clean or threat == usual else threat,
                details=_details(titles, records),
                values=[Value.of(record["accuracy"], record["interval"]) if record else None for record in records],
            )
        )
    return rows


def strongest(evaluation: dict[str, Any], network: str) -> Record | None:
    """The worst case over the attacks, where there is one; else the :func:`comparable` attack that leaves the lowest
    accuracy; None without attacks."""
    found = comparable(evaluation, network)
    return min(found, key=lambda one: ("attacks" not in one, one["accuracy"]), default=None)


def comparable(evaluation: dict[str, Any], network: str) -> list[Record]:
    """The records of the attacks in the report's threat model.

    Attacks that ran on fewer images than others are left aside: their accuracy is not of the same test set.
    """
    threat = evaluation["threat"]
    records = [
        record
        for record in evaluation["networks"][network]["result"]["records"]
        if record["norm"] == threat["norm"] and record["eps"] == threat["eps"]
    ]
    most = max((record["images"] for record in records), default=0)
    return [record for record in records if record["images"] == most]


def same_attack(evaluation: dict[str, Any], network: str, record: Record) -> Record | None:
    """The record of ``network`` for the attack and threat model of another network's ``record``."""
    records = evaluation["networks"][network]["result"]["records"]
    return next((other for other in records if _row_key(other) == _row_key(record)), None)


def further_worst(evaluation: dict[str, Any], network: str) -> list[Record]:
    """The record of the worst case, or of the only attack, in each further threat model."""
    further = evaluation["networks"][network]["result"].get("further", ())
    by_threat: dict[tuple[str, float], Record] = {}
    for record in further:  # the worst case stands behind the attacks
        by_threat[record["norm"], record["eps"]] = record
    return list(by_threat.values())


def percent(fraction: float) -> str:
    """A fraction as per cent with one decimal.

    >>> percent(0.9722)
    '97.2\\u202f%'
    """
    return f"{100 * fraction:.1f}\u202f%"


def hundredths(fraction: float) -> str:
    """A fraction as per cent with two decimals, for small differences.

    >>> hundredths(0.4811)
    '48.11\\u202f%'
    """
    return f"{100 * fraction:.2f}\u202f%"


def objective_text(objective: dict[str, Any]) -> str:
    """What a sweep maximises, with its name.

    >>> objective_text({"name": "retrain/val/acc_adv", "value": 0.662})
    'retrain/val/acc_adv, on validation images: 66.2\\u202f%'
    """
    return f"{objective['name']}, on validation images: {objective_value(objective)}"


def objective_value(objective: dict[str, Any]) -> str:
    """An accuracy as per cent, a score as it is."""
    return percent(objective["value"]) if "/acc" in objective["name"] else f"{objective['value']:.4g}"


def eps_text(norm: str, eps: float) -> str:
    """A radius as people write it: ``8/255`` where it is one in l_inf, else the number."""
    scaled = eps * 255
    if norm == "linf" and abs(scaled - round(scaled)) < 1e-6:
        return f"{round(scaled)}/255"
    return f"{eps:.4g}"


def threat_text(norm: str, eps: float) -> str:
    """The threat model in a few characters."""
    return f"{NORM_NAMES.get(norm, norm)}, eps {eps_text(norm, eps)}"


def _row_key(record: Record) -> tuple[str, str, float]:
    return (record["attack"], record["norm"], record["eps"])


def _details(titles: list[str], records: list[Record | None]) -> list[str]:
    texts = [(title, _detail(record)) for title, record in zip(titles, records, strict=True) if record is not None]
    if len({text for _, text in texts}) == 1:
        return [texts[0][1]]
    return [f"{title}: {text}" for title, text in texts]


def _detail(record: Record) -> str:
    if "attacks" in record:
        return f"correct under all of {', '.join(record['attacks'])} · {_count(record['images'], 'image')}"
    parts = [f"{record['engine']} {record['version']}"]
    if record["steps"]:
        length = f" of {record['step_size']:.3g}" if record["step_size"] is not None else ""
        parts.append(f"{_count(record['steps'], 'step')}{length}")
    if record["restarts"]:
        parts.append(_count(record["restarts"], "restart"))
    if (repeats := record.get("repeats")) is not None:
        low, high = (100 * end for end in repeats["interval"])
        mean = percent(repeats["mean"])
        count = len(repeats["accuracies"])
        parts.append(
            f"{count} times with other random numbers: mean {mean}, 95\u202f% interval {low:.1f}\u2013{high:.1f}"
        )
    parts += [f"seed {record['seed']}", _count(record["images"], "image")]
    return " · ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
