"""The run in a few plain sentences."""

from __future__ import annotations

from typing import Any

from dsrna.report.certified import certified_sentence
from dsrna.report.masking import failed_checks
from dsrna.report.published import dataset_title, headline_rows
from dsrna.report.results import (
    comparable,
    eps_text,
    further_worst,
    hundredths,
    percent,
    same_attack,
    strongest,
    threat_text,
)
from dsrna.report.run_data import RunData


def headline(data: RunData) -> list[str]:
    """What was done, and what came out; fewer sentences when less was done."""
    sentences = []
    if data.is_rehearsal:
        sentences.append("A rehearsal, which only shows that the whole pipeline runs: do not quote its numbers.")
    if data.architecture and data.architecture["epochs"]:
        sentences.append(_searched(data, data.architecture))
    if data.verdict:
        sentences += [_looked_up(data.verdict, row) for row in headline_rows(data.verdict)]
    if data.evaluation:
        sentences += evaluated(data.evaluation, derived=data.genotype is not None)
    elif data.curve("retrain/val/acc")[0]:
        epochs = len(data.curve("retrain/val/acc")[0])
        sentences.append(
            f"A derived network was trained for {_epochs(epochs)}; it has not been evaluated under attack."
        )
    return sentences if len(sentences) > data.is_rehearsal else [*sentences, "This run has no results yet."]


def _searched(data: RunData, architecture: dict[str, Any]) -> str:
    metric, strategy = data.part("metric"), data.part("strategy")
    how = f" by {strategy}" if strategy else ""
    aim = "" if metric is None else " without a robustness metric" if metric == "none" else f" with the metric {metric}"
    count = len(architecture["epochs"])
    return f"Cells of the {architecture['space']} space were searched{how}{aim}, in {_epochs(count)}."


def _looked_up(verdict: dict[str, Any], row: dict[str, Any]) -> str:
    return (
        f"After {row['training']}, the published accuracy of the derived architecture under {row['label']} on "
        f"{dataset_title(verdict)} is {hundredths(row['accuracy'])}: rank {row['rank']:,} of {row['classes']:,}, "
        f"{hundredths(row['regret'])} below the best."
    )


def evaluated(evaluation: dict[str, Any], derived: bool) -> list[str]:
    """What came out of an evaluation, of its first network and beside it of the others.

    Args:
        evaluation: ``evaluation.json``.
        derived: whether the networks are of a genotype.
    """
    networks = evaluation["networks"]
    name = next(iter(networks))
    clean = networks[name]["result"]["clean"]
    title = networks[name]["title"]
    network = f"the derived network with {title}" if derived else f"the network ({title})"
    sentences = [
        f"On {evaluation['data']}, {network} classifies "
        f"{percent(clean['accuracy'])} of {clean['images']:,} {evaluation['split']} images correctly."
    ]
    worst = strongest(evaluation, name)
    proved = certified_sentence(evaluation)
    if worst is None:
        return [*sentences, proved] if proved else sentences
    tried = len(comparable(evaluation, name))
    if "attacks" in worst:
        which = f"the worst case over {len(worst['attacks'])} attacks"
    else:
        which = f"the strongest of {tried} attacks, {worst['label']}" if tried > 1 else worst["label"]
    if worst["images"] < clean["images"]:
        which += f", on the first {worst['images']:,} images"
    sentences.append(f"{percent(worst['accuracy'])} stay correct when {_adversary(worst)} ({which}).")
    sentences += _doubt(networks[name]["result"])
    sentences += [
        f"In {threat_text(record['norm'], record['eps'])}, {percent(record['accuracy'])} stay correct."
        for record in further_worst(evaluation, name)
    ]
    if proved:
        sentences.append(proved)
    for other in networks:
        record = same_attack(evaluation, other, worst) if other != name else None
        if record is not None:
            sentences.append(f"The same network with {networks[other]['title']} keeps {percent(record['accuracy'])}.")
    return sentences


def _doubt(result: dict[str, Any]) -> list[str]:
    """What failed checks for gradient masking say of the number before."""
    failed = failed_checks(result)
    if not failed:
        return []
    which = "A check" if len(failed) == 1 else f"{len(failed)} checks"
    return [
        f"{which} for gradient masking failed ({'; '.join(failed)}), so that this number probably overestimates "
        "robustness."
    ]


def _adversary(record: dict[str, Any]) -> str:
    size = eps_text(record["norm"], record["eps"])
    if record["norm"] == "linf":
        return f"an adversary may change every pixel value by up to {size} of its range"
    return f"an adversary may move the image by a Euclidean distance of up to {size} (pixels in [0, 1])"


def _epochs(count: int) -> str:
    return f"{count} epoch" + ("" if count == 1 else "s")
