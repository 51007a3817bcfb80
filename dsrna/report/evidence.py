"""Is it a result, or noise? The numbers of ``search/architecture.json`` and ``search/evidence.json`` in words."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from dsrna.report.movement import Movement
from dsrna.report.results import percent
from dsrna.spaces.notation.writing import published_text

NOISE = "Not distinguishable from a random cell"


@dataclass(frozen=True)
class EdgeRow:
    """One row of the table of runners-up, as text."""

    cell: str
    edge: str
    kept: bool
    best: str
    runner_up: str
    lead: str


@dataclass(frozen=True)
class RankRow:
    """One row of the table of ranks among random cells, as text."""

    number: str
    derived: str
    middle: str
    rank: str
    beaten: str
    chance: str


def moved_sentences(moved: Movement) -> list[str]:
    """How far the weights moved, when the cell last changed, how close the runners-up are."""
    closest = moved.closest
    sentences = [
        f"Entropy of the operation weights: {moved.entropy:.4f}, where 1 is all equal and 0 all decided. Largest gap "
        f"between the best and the second weight of an edge: {moved.largest_gap:.4f}, where equal weights are "
        f"{moved.uniform:.4f} each.",
        "The derived cell is the same since the end of the first epoch."
        if moved.last_change is None
        else f"The derived cell last changed in epoch {moved.last_change} of {moved.epochs}.",
        f"The closest runner-up among the operations of the cell has {percent(1 - closest.lead)} of the weight of the "
        "one that was chosen.",
    ]
    if moved.nodes:
        nearest = min(moved.nodes, key=lambda node: node.lead)
        sentences.append(
            f"The closest edge that the cell left out has {percent(1 - nearest.lead)} of the strength of the one kept."
        )
    return sentences


def event_sentences(architecture: dict[str, Any]) -> list[str]:
    """What search schedules did and what the watch for collapse said, epoch by epoch; epochs are counted from 1."""
    return [
        f"Epoch {epoch['epoch'] + 1}: {event}" for epoch in architecture["epochs"] for event in epoch.get("events", [])
    ]


def verdict_sentence(evidence: dict[str, Any] | None) -> str | None:
    """The verdict on the derived cell among random ones; None where there was no comparison."""
    ranked = _deciding(evidence)
    if ranked is None:
        return None
    rank = f"rank {ranked['rank']:,} of {ranked['count'] + 1:,}"
    luck = f"A search that found nothing ends at this rank or a better one with probability {ranked['chance']:.2g}."
    if ranked["verdict"] == "too few":
        return f"{ranked['count']} random cells are too few to tell the derived cell from one of them ({rank})."
    if ranked["verdict"] == "better":
        return f"Better than random cells: {rank}. {luck}"
    if ranked["verdict"] == "worse":
        return f"Worse than random cells: {rank}, {_compared_as(evidence)}.{_untrained_paths(evidence)}"
    return f"{NOISE}: {rank}. {luck}{_untrained_paths(evidence)}"


def trained_for_comparison(evidence: dict[str, Any] | None) -> int:
    """Epochs of a new supernet that was trained on the derived and the random cells; 0: they are of the search's."""
    epochs: int = ((evidence or {}).get("random_cells") or {}).get("comparison_epochs", 0)
    return epochs


def _compared_as(evidence: dict[str, Any] | None) -> str:
    """What the cells were networks of."""
    epochs = trained_for_comparison(evidence)
    if epochs == 0:
        return "as paths of the search's supernet"
    return f"as paths of a new supernet that was trained on these cells in turn, for {epochs} epoch{'s'[: epochs > 1]}"


def _untrained_paths(evidence: dict[str, Any] | None) -> str:
    """A warning of a comparison that can't tell: weights that were trained for a mixture make no networks of its paths.

    It is said where neither the derived cell nor the middle one of the random cells keeps half of what the mixture
    knows beyond guessing.
    """
    found = (evidence or {}).get("random_cells")
    if found is None or "mixture" not in found or trained_for_comparison(evidence):
        return ""
    key, guess = found["decides"], 1 / found["classes"]
    middle, mixture, derived = (
        statistics.median(score[key] for score in found["random"]), found["mixture"][key], found["derived"][key],
    )  # fmt: skip
    if max(middle, derived) - guess >= 0.5 * (mixture - guess):
        return ""
    return (
        f" But this comparison tells little: the mixture is right on {percent(mixture)} of these images, its paths are "
        f"no networks that were trained (the derived cell is right on {percent(derived)}, the middle one of the random "
        f"cells on {percent(middle)}, guessing on {percent(guess)})."
    )


def compared_sentences(evidence: dict[str, Any]) -> list[str]:
    """How the derived cell was compared with random ones, for people."""
    ranked = _deciding(evidence)
    if ranked is None:
        return [evidence["left_out"]] if evidence.get("left_out") else []
    found, (low, high) = evidence["random_cells"], ranked["interval"]
    return [
        f"Among {ranked['count']} random cells, {_compared_as(evidence)}, by the accuracy on {found['images']:,} "
        f"{found['split']} images{_attacked(found)}: rank {ranked['rank']:,} of {ranked['count'] + 1:,}, better than "
        f"{percent(ranked['beaten'])} of them (95\u202f% interval {percent(low)} to {percent(high)})."
    ]


def is_alarming(evidence: dict[str, Any] | None) -> bool:
    """Whether the page should begin with the verdict."""
    ranked = _deciding(evidence)
    return ranked is not None and ranked["verdict"] in ("indistinguishable", "worse")


def _deciding(evidence: dict[str, Any] | None) -> dict[str, Any] | None:
    """The comparison that the verdict is by."""
    found = (evidence or {}).get("random_cells")
    if found is None:
        return None
    comparison: dict[str, Any] = found[found["decides"]]
    return comparison


def _attacked(found: dict[str, Any]) -> str:
    if found["decides"] != "objective_accuracy":
        return ""
    return f" under the attack of the search's objective ({found['objective']})"


def edge_rows(moved: Movement, titles: dict[str, str]) -> list[EdgeRow]:
    """The table of runners-up, the edges of the cell first, each cell by itself."""
    return [
        EdgeRow(
            cell=titles.get(edge.cell, edge.cell),
            edge=edge.edge,
            kept=edge.kept,
            best=f"{edge.operation} {edge.weight:.4f}",
            runner_up="\u2013" if edge.runner_up is None else f"{edge.runner_up} {edge.runner_up_weight:.4f}",
            lead=percent(edge.lead),
        )
        for edge in moved.edges
    ]


def rank_rows(evidence: dict[str, Any] | None) -> list[RankRow]:
    """The table of ranks among random cells."""
    found = (evidence or {}).get("random_cells")
    if found is None:
        return []
    numbers = [("accuracy", "accuracy", percent), ("loss of the architecture steps", "loss", "{:.4f}".format)]
    if "objective_accuracy" in found:
        numbers.insert(0, ("accuracy under the search's attack", "objective_accuracy", percent))
    rows = []
    for title, key, text in numbers:
        compared, values = found[key], sorted(score[key] for score in found["random"])
        middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
        low, high = compared["interval"]
        rows.append(
            RankRow(
                number=title,
                derived=text(found["derived"][key]),
                middle=text(middle),
                rank=f"{compared['rank']:,} of {compared['count'] + 1:,}",
                beaten=f"{percent(compared['beaten'])} ({percent(low)} to {percent(high)})",
                chance=f"{compared['chance']:.2g}",
            )
        )
    return rows


def candidate_rows(evidence: dict[str, Any] | None) -> list[tuple[str, ...]]:
    """A heading and, the best first, a row of text for each cell that the genotype was chosen among: the cell, and its
    accuracies in the ways in which it was looked at. Empty where its selection looked at none.
    """
    found = (evidence or {}).get("candidates", ())
    ways = {"score": "as a path", "tuned": "fine-tuned", "alone": "trained alone"}
    used = [way for way in ways if any(candidate.get(way) for candidate in found)]
    rows = [
        (
            published_text(candidate["genotype"]),
            *(percent(candidate[way]["objective_accuracy"]) if candidate.get(way) else "\u2013" for way in used),
        )
        for candidate in found
    ]
    return [("cell", *(ways[way] for way in used)), *rows] if rows else []


def decision_rows(evidence: dict[str, Any] | None, titles: dict[str, str]) -> list[tuple[str, str, str, str]]:
    """Place, what was kept, the supernet's accuracy, and how much of it each removal cost, as text."""
    rows = []
    for found in (evidence or {}).get("decisions", ()):
        before = found["score"]["objective_accuracy"]
        losses = sorted(
            ((before - score["objective_accuracy"], name) for name, score in found["without"].items()), reverse=True
        )
        rows.append(
            (
                f"{titles.get(found['cell_type'], found['cell_type'])}, {found['place']}",
                ", ".join(found["kept"]),
                percent(before),
                ", ".join(f"{name} {100 * loss:+.1f}" for loss, name in losses),
            )
        )
    return rows
