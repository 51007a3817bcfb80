"""The results of one evaluated network, from its run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import nn

from dsrna.comparing.results import CellCost, Trained
from dsrna.costs.latency import latency
from dsrna.errors import CheckpointError
from dsrna.evaluation.outcome_file import outcome_name
from dsrna.functional.multiply_adds import multiply_adds
from dsrna.json_files import read_json
from dsrna.nn.modes import evaluation_mode
from dsrna.report.results import strongest, threat_text
from dsrna.run_folder import RunFolder
from dsrna.types import Threat

LATENCY_BATCHES = (1, 128)


class _OutcomeDocument(TypedDict):
    outcomes: str


def trained_network(folder: RunFolder, cell: str, seed: int, seconds: float | None, place: str) -> Trained:
    """What ``evaluation.json`` and the outcome files say of a run's network.

    Args:
        folder: of the evaluation.
        cell, seed, seconds: of the network.
        place: how the folder is to be named.

    Raises:
        CheckpointError: it isn't evaluated, or a file is damaged.
    """
    evaluation = folder.read_evaluation()
    if evaluation is None:
        raise CheckpointError(f"Expected an evaluated network in {folder.path}, found none: run its evaluate stage.")
    stage = network_stage(evaluation)
    result = evaluation["networks"][stage]["result"]
    clean, worst = result["clean"], strongest(evaluation, stage)
    right = _outcomes(folder, stage, clean)
    accuracies = {"clean": clean["accuracy"]}
    for record in [*_in_the_threat(evaluation, stage), *result.get("further", ())]:
        accuracies[_label(record, evaluation["threat"], clean["images"])] = record["accuracy"]
    accuracies |= _beside_attacks(evaluation["networks"][stage], evaluation["threat"], clean["images"])
    if worst is None:
        robust, standing = clean["accuracy"], right
    else:
        measured = {record["attack"]: record for record in _in_the_threat(evaluation, stage)}
        over = [measured[name] for name in worst.get("attacks", [worst["attack"]]) if name in measured]
        robust = worst["accuracy"]
        standing = _all_of([_outcomes(folder, stage, record, repeat) for record in over for repeat in _repeats(record)])
    return Trained(cell, seed, accuracies, robust, standing, right, _images(folder, stage, clean), seconds, place)


def network_stage(evaluation: dict[str, Any]) -> str:
    """The network that a run is about: the retrained one, where it was evaluated."""
    networks = evaluation["networks"]
    return "retrain" if "retrain" in networks else next(iter(networks))


def network_cost(
    network: nn.Module, shape: Sequence[int], known: CellCost | None, device: torch.device, name: str
) -> CellCost:
    """Counts what a network costs; its latency is measured where that isn't known of this device.

    Args:
        network: on the CPU; moved to the device.
        shape: (C, H, W) of its images.
        known: what was measured before, of a network of the same cell.
        device, name: where latency is measured.
    """
    channels, height, width = shape
    with evaluation_mode(network):
        products = multiply_adds(network, torch.zeros(1, channels, height, width))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    if known is not None and (known.device, known.multiply_adds) == (name, products):
        return CellCost(parameters, products, known.latency, name)
    network.to(device)
    measured = {
        str(size): round(latency(network, (channels, height, width), size, device), 4) for size in LATENCY_BATCHES
    }
    return CellCost(parameters, products, measured, name)


def _in_the_threat(evaluation: dict[str, Any], stage: str) -> list[dict[str, Any]]:
    threat = evaluation["threat"]
    return [
        record
        for record in evaluation["networks"][stage]["result"]["records"]
        if (record["norm"], record["eps"]) == (threat["norm"], threat["eps"])
    ]


def _label(record: dict[str, Any], threat: dict[str, Any], images: int) -> str:
    own = (record["norm"], record["eps"]) == (threat["norm"], threat["eps"])
    further = "" if own else f", {threat_text(record['norm'], record['eps'])}"
    return f"{record['label']}{further}{_of_fewer(record, images)}"


def _beside_attacks(network: dict[str, Any], threat: dict[str, Any], images: int) -> dict[str, float]:
    """What is proved in the threat's ball, and accuracies on images that are changed in other ways."""
    found = _corrupted(network.get("corruptions"))
    for way, proofs in (("bounds", network.get("verification")), ("smoothing", network.get("smoothing"))):
        if proofs is None:
            continue
        for point in proofs["curve"]:
            if (proofs["norm"], point["eps"]) == (threat["norm"], threat["eps"]):
                found[f"certified by {way}{_of_fewer(point, images)}"] = point["certified"]
    if moved := network.get("spatial"):
        found[f"rotated and shifted{_of_fewer(moved, images)}"] = moved["accuracy"]
    return found


def _of_fewer(record: dict[str, Any], images: int) -> str:
    return f", first {record['images']:,} images" if record["images"] < images else ""


def _corrupted(found: dict[str, Any] | None) -> dict[str, float]:
    """Accuracy on corrupted images, and the mean corruption error where that isn't just the rest."""
    if found is None or found["mean"] is None:
        return {}
    mce = found.get("mce") or {"normaliser": None}
    normalised = {} if mce["normaliser"] is None else {f"mCE by {mce['normaliser']}": mce["value"]}
    return {"corrupted, mean": found["mean"]} | normalised


def _file(folder: RunFolder, stage: str, record: dict[str, Any], repeat: int = 0) -> Path:
    attack = record["attack"]
    name = attack if attack == "clean" else outcome_name(attack, Threat(record["norm"], record["eps"]), repeat)
    return folder.evaluation_dir / stage / f"{name}.json"


def _repeats(record: dict[str, Any]) -> range:
    return range(len(record["repeats"]["accuracies"]) if "repeats" in record else 1)


def _outcomes(folder: RunFolder, stage: str, record: dict[str, Any], repeat: int = 0) -> str:
    text: str = read_json(_file(folder, stage, record, repeat), _OutcomeDocument)["outcomes"]
    return text


def _images(folder: RunFolder, stage: str, record: dict[str, Any]) -> str:
    stored = read_json(_file(folder, stage, record))
    return f"{stored.get('data')} {stored.get('images')}"


def _all_of(every: list[str]) -> str:
    """Of each image whether it withstood all attacks that looked at it: some look at the first images alone."""
    longest = max(map(len, every))
    padded = [outcomes.ljust(longest, "1") for outcomes in every]
    return "".join("1" if set(column) == {"1"} else "0" for column in zip(*padded, strict=True))
