"""The model card of a published network: what it is, what it withstands, what is proved of it, and what isn't known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import PurePath
from typing import Any

import yaml

from dsrna.errors import CheckpointError
from dsrna.report.certified import certified_row, radius_rows
from dsrna.report.headline import evaluated
from dsrna.report.masking import chance_sentences, checked_networks, failed_checks
from dsrna.report.results import Row, comparable, result_rows, strongest, threat_text
from dsrna.report.run_data import RunData
from dsrna.report.smoothed import smoothed_row, smoothed_rows
from dsrna.report.spatial import spatial_row
from dsrna.spaces.notation.writing import published_text

RECIPE = {"retrain": ("retrain", "objective"), "certified": ("retrain", "certified"), "baseline": ("retrain",)}
"""Nodes of the run's config that say how the network of a stage was trained, beside seed, data and threat."""
_OF_A_MACHINE = ("root", "download")
"""Settings of where things are, which are of nobody else's use."""


@dataclass(frozen=True)
class Published:
    """The network that a card is of.

    Attributes:
        name: the card's title.
        title: how it was trained, in a few words.
        stage: of the run, ``retrain``, ``certified`` or ``baseline``.
        shape: (C, H, W) of its images.
        classes: number of classes.
        parameters: number of its parameters.
        genotype: as JSON; None for a network without cells.
        pictures: caption -> file beside the card.
        licence: of the weights, an SPDX identifier; None where it isn't said.
    """

    name: str
    title: str
    stage: str
    shape: tuple[int, ...]
    classes: int
    parameters: int
    genotype: dict[str, Any] | None
    pictures: dict[str, str]
    licence: str | None


def model_card(data: RunData, network: Published) -> str:
    """Markdown with YAML front matter, as the Hugging Face Hub reads it, from what a run folder holds.

    Raises:
        CheckpointError: the run's ``config.yaml`` is damaged.
    """
    evaluation = evaluation_of(data, network.stage)
    sections = [
        ("", [network.name], _summary(evaluation, network)),
        ("Loading it", [], _loading(network)),
        ("Accuracy", [], _accuracy(evaluation) if evaluation else ["It hasn't been evaluated."]),
        ("Checks for gradient masking", [], _checks(evaluation)),
        ("What is proved", [], _proved(evaluation)),
        ("Data and recipe", [], _recipe(data, network)),
        ("Architecture", [], _architecture(network)),
        ("Known limits", [], _limits(data, evaluation)),
    ]
    front = yaml.safe_dump(_front_matter(data, evaluation, network), sort_keys=False, allow_unicode=True)
    body = "\n\n".join(
        "\n\n".join([f"## {heading}" if heading else f"# {_plain(first[0])}", *paragraphs])
        for heading, first, paragraphs in sections
    )
    return f"---\n{front}---\n\n{body}\n"


def evaluation_of(data: RunData, stage: str) -> dict[str, Any] | None:
    """``evaluation.json`` with one network alone; None where that wasn't evaluated."""
    found = data.evaluation
    if found is None or stage not in found["networks"]:
        return None
    return found | {"networks": {stage: found["networks"][stage]}}


def _front_matter(data: RunData, evaluation: dict[str, Any] | None, network: Published) -> dict[str, Any]:
    tags = ["adversarial-robustness", "neural-architecture-search", "safetensors"]
    front: dict[str, Any] = {"library_name": "dsrna", "pipeline_tag": "image-classification", "tags": tags}
    if network.licence is not None:
        front["license"] = network.licence
    chosen = data.part("data")
    if chosen is not None:
        front["datasets"] = [chosen]
    if evaluation is not None:
        (entry,) = evaluation["networks"].values()
        measured = [("Clean accuracy", entry["result"]["clean"])]
        if (worst := strongest(evaluation, network.stage)) is not None:
            measured.append((f"{worst['label']}, {threat_text(worst['norm'], worst['eps'])}", worst))
        metrics = [
            {"type": "accuracy", "name": name, "value": round(record["accuracy"], 6)} for name, record in measured
        ]
        dataset = {"name": evaluation["data"], "type": chosen or "images", "split": evaluation["split"]}
        results = [{"task": {"type": "image-classification"}, "dataset": dataset, "metrics": metrics}]
        front["model-index"] = [{"name": network.name, "results": results}]
    return front


def _summary(evaluation: dict[str, Any] | None, network: Published) -> list[str]:
    size = " x ".join(map(str, network.shape))
    what = (
        f"A classifier of images of {size} (channels x height x width) in {network.classes} classes, "
        f"{network.parameters:,} parameters: {_plain(network.title)}. It takes images in [0, 1]; the normalisation is "
        "its first layer, so that eps below is in those units."
    )
    found = evaluated(evaluation, derived=network.genotype is not None) if evaluation else []
    return [what, _plain(" ".join(found))] if found else [what]


def _loading(network: Published) -> list[str]:
    return [
        "Nothing in this folder is unpickled or run: weights are in safetensors, the rest is JSON.",
        "```python\nimport dsrna\n\n"
        'network = dsrna.load("FOLDER")  # this folder; in evaluation mode, on the CPU\n'
        f"logits = network(images)  # images (N, {', '.join(map(str, network.shape))}) in [0, 1] -> "
        f"(N, {network.classes})\n```",
        "```python\nfrom dsrna.hub import HubNetwork  # pip install 'dsrna[hub]'\n\n"
        'network = HubNetwork.from_pretrained("FOLDER")  # or OWNER/NAME on the Hugging Face Hub\n```',
        "`python -m dsrna.evaluate model=FOLDER data=…` attacks it again.",
    ]


def _accuracy(evaluation: dict[str, Any]) -> list[str]:
    others = (certified_row(evaluation), smoothed_row(evaluation), spatial_row(evaluation))
    rows = [*result_rows(evaluation), *(row for row in others if row)]
    return [
        f"On {_plain(evaluation['data'])}, {evaluation['split']} split; threat model "
        f"{threat_text(**evaluation['threat'])}. Intervals are of 95 %, over images.",
        _table(("", "accuracy", "interval", "how"), [_cells(row) for row in rows]),
    ]


def _cells(row: Row) -> tuple[str, ...]:
    (value,) = row.values
    label = f"{row.label} ({row.threat})" if row.threat else row.label
    return (label, value.accuracy if value else "", value.interval if value else "", "; ".join(row.details))


def _checks(evaluation: dict[str, Any] | None) -> list[str]:
    if evaluation is None:
        return ["None was made."]
    (checked,) = checked_networks(evaluation)
    return [
        f"{checked.summary}. A failed one means that the accuracies under attack are probably too high.",
        _table(("check", "verdict", "numbers or reason"), checked.checks),
    ]


def _proved(evaluation: dict[str, Any] | None) -> list[str]:
    found = []
    for row in (certified_row(evaluation), smoothed_row(evaluation)) if evaluation else ():
        if row is not None and (value := row.values[0]) is not None:
            found.append(f"{row.label}: {value.accuracy} ({value.interval}). {'; '.join(row.details)}.")
    found += [
        f"Radius up to which images are proved to stay correct, mean over the correct ones, {row.norm}: "
        f"{row.certified}. {row.details}."
        for row in (radius_rows(evaluation) if evaluation else ())
    ]
    found += [
        f"Randomised smoothing ({row.details}): mean radius in \u21132 {row.radius}, {row.correct} correct."
        for row in (smoothed_rows(evaluation) if evaluation else ())
    ]
    nothing = "Nothing. Accuracies under attack are upper bounds: a stronger attack may leave less."
    return [_plain(line) for line in found] or [nothing]


def _recipe(data: RunData, network: Published) -> list[str]:
    if not data.did("retrain"):
        return ["It was trained by another run than the one that it is published from, which only evaluated it."]
    try:
        config = yaml.safe_load(data.config_text)
        chosen = {name: config[name] for name in ("seed", "data", "threat", *RECIPE[network.stage]) if name in config}
    except (yaml.YAMLError, RecursionError, TypeError) as error:
        raise CheckpointError(f"The run's config.yaml is damaged: {error}. Bring it back as it was.") from error
    chosen, run = _without_places(chosen), data.run
    git = f", revision {run['git']['revision'][:12]}" if run["git"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items() if name in ("dsrna", "torch"))
    return [
        f"Trained with {versions}{git}. Validation images are a part of the training split; the test split chose "
        "nothing. Images are in [0, 1], and eps is in the same units.",
        f"```yaml\n{yaml.safe_dump(chosen, sort_keys=False, allow_unicode=True)}```",
    ]


def _without_places(value: Any) -> Any:
    """Settings without the folders of the machine that they were made on."""
    if isinstance(value, dict):
        return {key: _without_places(each) for key, each in value.items() if key not in _OF_A_MACHINE}
    if isinstance(value, list):
        return [_without_places(each) for each in value]
    return PurePath(value).name if isinstance(value, str) and PurePath(value).is_absolute() else value


def _architecture(network: Published) -> list[str]:
    if network.genotype is None:
        return [f"{_plain(network.title)}: `config.json` says what builds it."]
    shown = [f"![{_plain(caption)}]({file})" for caption, file in network.pictures.items()]
    text = published_text(network.genotype)
    return [f"Cells of the {_plain(network.genotype['space'])} space.", *shown, f"```\n{text}\n```"]


def _limits(data: RunData, evaluation: dict[str, Any] | None) -> list[str]:
    found = []
    if data.is_rehearsal:
        found.append("A rehearsal, which only shows that the whole pipeline runs: do not quote its numbers.")
    if evaluation is None:
        return [_list([*found, "Nothing is known of its robustness."])]
    ((stage, entry),) = evaluation["networks"].items()
    found += chance_sentences(evaluation)
    if failed := failed_checks(entry["result"]):
        found.append(f"Its robustness is probably overestimated: failed checks for masking: {'; '.join(failed)}.")
    attacks = comparable(evaluation, stage)
    images = max((record["images"] for record in attacks), default=0)
    if not any(record["attack"] == "autoattack" for record in attacks):
        found.append("AutoAttack wasn't run on it: stronger attacks may leave less than the table says.")
    if attacks and images < entry["result"]["clean"]["images"]:
        found.append(f"Attacked on the first {images:,} test images alone.")
    found.append(
        f"Robustness was measured for {threat_text(**evaluation['threat'])} on {evaluation['data']}; nothing follows "
        "for other norms, larger eps, other corruptions of images, or images of another kind."
    )
    return [_list(found)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_plain(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"* {_plain(line)}" for line in lines)


def _plain(text: str) -> str:
    """A text from a run folder in one line that holds no markup of HTML."""
    return escape(" ".join(text.splitlines()), quote=False)
