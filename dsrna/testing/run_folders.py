"""Run folders with made-up numbers, for tests of whatever reads run folders."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from dsrna.files import write_json
from dsrna.run_folder import RunFolder
from dsrna.testing.evaluations import example_evaluation

PARTS = ("search", "retrain", "baseline", "evaluate")

PRIMITIVES = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
EDGES = [[source, target] for target in range(2, 6) for source in range(target)]

CONFIG_TEXT = """\
name: digits_jacobian
seed: 3
data:
  source:
    _target_: dsrna.data.digits.load_digits
strategy:
  _target_: dsrna.strategies.pcdarts.PCDarts
  partial_channels: 4
metric:
  _target_: dsrna.metrics.jacobian.JacobianNorm
  weight: 0.01
objective:
  _target_: dsrna.objectives.adversarial.Adversarial
  steps: 7
threat:
  norm: linf
  eps: 0.1
search:
  epochs: 12
"""


def build_run_folder(
    path: Path,
    parts: Collection[str] = PARTS,
    *,
    overrides: Sequence[str] = ("seed=3",),
    robust_accuracy: float = 0.70,
    command: str = "python -m dsrna.search seed=3",
    epochs: int = 12,
    rehearsal: bool = False,
) -> RunFolder:
    """A finished run at ``path`` as dsrna would have left it.

    Args:
        path: a folder without a run.
        parts: which of ``search``, ``retrain``, ``baseline`` and ``evaluate`` the run did.
        overrides: what its user typed.
        robust_accuracy: accuracy of the retrained network under PGD-20; the other numbers follow from it.
        command: its command line.
        epochs: how many epochs each stage was trained.
        rehearsal: whether it was one.
    """
    stages = [stage for stage in ("search", "retrain", "evaluate") if stage in parts]
    folder = RunFolder.create(
        path,
        kind=stages[0] if stages else "search",
        fingerprint="0123456789abcdef",
        config_text=CONFIG_TEXT,
        overrides=overrides,
        stages=stages,
        device="cpu",
        command=command,
        rehearsal=rehearsal,
    )
    for stage in stages:
        folder.set_stage(stage, "done", seconds=61.5)
    if "search" in parts:
        write_json(folder.genotype_json, example_genotype())
        write_json(folder.architecture_json, _architecture(epochs))
        write_json(folder.evidence_json, example_evidence())
        for epoch in range(epochs):
            folder.append_metrics(_search_record(epoch, epochs))
    for stage in ("baseline", "retrain"):
        for epoch in range(epochs if stage in parts else 0):
            folder.append_metrics(_training_record(stage, epoch, epochs, robust_accuracy))
    if "evaluate" in parts:
        evaluation = example_evaluation(robust_accuracy)
        for stage in ("baseline", "retrain"):
            evaluation["networks"][stage]["epoch"] = _best_epoch(epochs) if stage in parts else None
        write_json(folder.evaluation_json, evaluation | {"rehearsal": rehearsal})
    return folder


def example_genotype() -> dict[str, Any]:
    """``genotype.json`` of a DARTS cell pair that uses most operations."""
    normal = [
        [["sep_conv_3x3", 0], ["skip_connect", 1]],
        [["sep_conv_5x5", 1], ["dil_conv_3x3", 2]],
        [["avg_pool_3x3", 0], ["sep_conv_3x3", 3]],
        [["skip_connect", 2], ["dil_conv_5x5", 4]],
    ]
    reduce = [
        [["max_pool_3x3", 0], ["max_pool_3x3", 1]],
        [["skip_connect", 2], ["max_pool_3x3", 1]],
        [["max_pool_3x3", 0], ["skip_connect", 2]],
        [["skip_connect", 2], ["sep_conv_3x3", 1]],
    ]
    cells = {"normal": {"nodes": normal, "concat": [2, 3, 4, 5]}, "reduce": {"nodes": reduce, "concat": [2, 3, 4, 5]}}
    return {"schema": "dsrna.genotype", "version": 1, "space": "darts", "cells": cells}


def example_evidence(verdict: str = "indistinguishable") -> dict[str, Any]:
    """``search/evidence.json`` of a cell of rank 26 among 64 random ones, by accuracy and by loss."""
    scores = [{"loss": 3 - 0.01 * n, "accuracy": 0.3 + 0.002 * n} for n in range(64)]
    ranked = {"count": 64, "rank": 26, "beaten": 39 / 64, "interval": [0.487, 0.719], "chance": 0.4, "verdict": verdict}
    return {
        "schema": "dsrna.evidence",
        "version": 1,
        "movement": None,
        "random_cells": {
            "decides": "accuracy",
            "split": "validation",
            "images": 216,
            "objective": "some training",
            "derived": _twice({"loss": 2.605, "accuracy": 0.377}),
            "random": [_twice(score) for score in scores],
            "loss": ranked,
            "accuracy": ranked,
        },
        "left_out": None,
    }


def _twice(score: dict[str, float]) -> dict[str, float]:
    return score | {"objective_accuracy": score["accuracy"]}


def _architecture(epochs: int) -> dict[str, Any]:
    genotype = example_genotype()
    nodes = {cell: content["nodes"] for cell, content in genotype["cells"].items()}
    records = []
    for epoch in range(epochs):
        sharpness = 2.5 * epoch / max(epochs - 1, 1)
        weights = {cell: _cell_weights(nodes[cell], sharpness) for cell in nodes}
        records.append(
            {
                "epoch": epoch,
                "weights": weights,
                "entropy": {cell: _mean_entropy(weights[cell]["operations"]) for cell in nodes},
                "genotype": genotype,
                "operation_counts": {cell: _operation_counts(nodes[cell]) for cell in nodes},
            }
        )
    cells = {cell: {"edges": EDGES} for cell in nodes}
    return {"space": "darts", "primitives": list(PRIMITIVES), "cells": cells, "epochs": records}


def _cell_weights(nodes: list[Any], sharpness: float) -> dict[str, Any]:
    """Operation weights that move towards the derived operations, and edge weights that prefer their edges."""
    chosen = {(source, target): name for target, node in enumerate(nodes, start=2) for name, source in node}
    return {
        "operations": [_operation_weights(chosen.get((s, t)), sharpness, phase=s + t) for s, t in EDGES],
        "edges": [(1.5 if (s, t) in chosen else 0.5) / t for s, t in EDGES],
    }


def _mean_entropy(rows: list[list[float]]) -> float:
    return -sum(weight * math.log(weight) for row in rows for weight in row) / len(rows)


def _operation_counts(nodes: list[Any]) -> dict[str, int]:
    names = [name for node in nodes for name, _ in node]
    return {name: names.count(name) for name in PRIMITIVES}


def _operation_weights(chosen: str | None, sharpness: float, phase: int) -> list[float]:
    logits = [
        0.3 * sharpness * math.sin(phase + position) + (sharpness if name == chosen else 0.0)
        for position, name in enumerate(PRIMITIVES)
    ]
    total = sum(math.exp(logit) for logit in logits)
    return [math.exp(logit) / total for logit in logits]


def _search_record(epoch: int, epochs: int) -> dict[str, Any]:
    progress = (epoch + 1) / epochs
    return {
        "kind": "epoch",
        "stage": "search",
        "epoch": epoch,
        "step": 20 * (epoch + 1),
        "search/train/loss": 2.3 - 1.9 * progress,
        "search/train/acc": 0.1 + 0.85 * progress,
        "search/val/loss": 2.3 - 1.8 * progress,
        "search/val/acc": 0.1 + 0.8 * progress,
        "search/val/score": -3.0 - math.sin(3 * progress),
        "search/lr": 0.05 * (1 - progress),
        "search/seconds": 4.2,
    }


def _best_epoch(epochs: int) -> int:
    """Where the robust accuracy of :func:`_training_record` is highest; of two, the later."""
    return max(range(epochs), key=lambda epoch: (-abs((epoch + 1) / epochs - 0.7), epoch))


def _training_record(stage: str, epoch: int, epochs: int, robust_accuracy: float) -> dict[str, Any]:
    progress = (epoch + 1) / epochs
    is_robust = stage == "retrain"
    robust = robust_accuracy * (1 if is_robust else 0.25)
    trained = (
        {f"{stage}/train/acc_adv": robust * (0.4 + 0.8 * progress)}
        if is_robust
        else {f"{stage}/train/acc": 0.5 + 0.49 * progress}
    )
    return {
        "kind": "epoch",
        "stage": stage,
        "epoch": epoch,
        "step": 25 * (epoch + 1),
        f"{stage}/train/loss": 2.3 * (1 - 0.9 * progress),
        **trained,
        f"{stage}/val/acc": 0.5 + 0.47 * progress,
        f"{stage}/val/acc_adv": robust * (1 - 1.5 * (progress - 0.7) ** 2),
        f"{stage}/lr": 0.1 * (1 - progress),
        f"{stage}/kept": float(epoch <= _best_epoch(epochs)),
    }
