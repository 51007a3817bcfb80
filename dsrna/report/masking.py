"""The checks for gradient masking, and whether a network is better than guessing, as a person reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsrna.report.results import percent

TITLES = {
    "steps": "More steps never help the defence",
    "single_step": "Many steps beat a single one",
    "autoattack": "AutoAttack is no weaker than PGD",
    "black_box": "An attack without gradients is no stronger than PGD",
    "transfer": "Images made on another network break no more",
    "gradients": "Gradients are finite and don't vanish",
    "uphill": "The gradient points to where the loss rises",
    "random": "Attacks average over what the network draws",
    "large_eps": "At a very large eps no better than guessing remains",
}


@dataclass(frozen=True)
class CheckedNetwork:
    """What the checks said of one network.

    Attributes:
        title: the network.
        summary: how many passed, failed and were not run.
        checks: (what is checked, ``passed``, ``failed`` or ``not run``, numbers or reason).
        unknown: the evaluation only noted what failed.
    """

    title: str
    summary: str
    checks: list[tuple[str, str, str]]
    unknown: bool


def checked_networks(evaluation: dict[str, Any]) -> list[CheckedNetwork]:
    """One entry a network."""
    return [_checked(network["title"], network["result"]) for network in evaluation["networks"].values()]


def guessing_of(result: dict[str, Any]) -> float:
    """Accuracy of the best answer that ignores the image."""
    return float(result.get("guessing", 1 / result["classes"]))


def at_chance(result: dict[str, Any]) -> bool:
    """Whether the interval of the accuracy without attack doesn't lie above that of guessing."""
    return bool(result["clean"]["interval"][0] <= guessing_of(result))


def chance_sentences(evaluation: dict[str, Any]) -> list[str]:
    """A warning for each network that can't be told from guessing."""
    return [
        f"The network with {network['title']} is at chance level: without attack it gets "
        f"{percent(network['result']['clean']['accuracy'])} of {network['result']['clean']['images']:,} images right, "
        f"guessing gets {percent(guessing_of(network['result']))}. Its accuracies under attack say nothing about "
        "robustness."
        for network in evaluation["networks"].values()
        if at_chance(network["result"])
    ]


def failed_checks(result: dict[str, Any]) -> list[str]:
    """Titles of the checks that failed, of any version of dsrna."""
    noted = result.get("checks", result.get("warnings", ()))
    failed = [one["check"] for one in noted if one.get("state", "failed") == "failed"]
    return [TITLES.get(check, check) for check in failed]


def _checked(title: str, result: dict[str, Any]) -> CheckedNetwork:
    if "checks" not in result:  # of a dsrna that noted failures alone
        failed = [(TITLES.get(one["check"], one["check"]), "failed", one["message"]) for one in result["warnings"]]
        return CheckedNetwork(title, f"{len(failed)} failed, the others are not known", failed, unknown=True)
    checks = [(TITLES.get(one["check"], one["check"]), one["state"], one["message"]) for one in result["checks"]]
    counts = [(sum(found == state for _, found, _ in checks), state) for state in ("passed", "failed", "not run")]
    return CheckedNetwork(title, ", ".join(f"{count} {state}" for count, state in counts if count), checks, False)
