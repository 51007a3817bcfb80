"""Run folders with made-up numbers, for tests of whatever reads run folders."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from dsrna.files import write_json
from dsrna.run_folder import RunFolder

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


def example_evaluation(robust_accuracy: float = 0.70) -> dict[str, Any]:
    """``evaluation.json`` of an adversarially retrained network, and of the same one with standard training."""
    networks = {
        "retrain": _network("adversarial training (PGD-7)", "retrain/best.ckpt", 0.9722, robust_accuracy),
        "baseline": _network("standard training", "baseline/best.ckpt", 0.9889, robust_accuracy / 4),
    }
    networks["baseline"]["result"]["checks"][-1] = {
        "check": "large_eps",
        "state": "failed",
        "message": "PGD-20 leaves 23.1 % accuracy at eps 0.5, where it should reach 10: gradients may be masked.",
    }
    return {
        "schema": "dsrna.evaluation",
        "version": 1,
        "threat": {"norm": "linf", "eps": 0.1},
        "data": "scikit-learn's handwritten digits (1,797 scans of 8x8 pixels)",
        "split": "test",
        "networks": networks,
    }


def _network(title: str, checkpoint: str, clean: float, robust: float) -> dict[str, Any]:
    records = [
        attack_record("fgsm", "FGSM", robust * 1.08, steps=1, restarts=1, step_size=0.1),
        attack_record("pgd20", "PGD-20", robust, steps=20, restarts=1, step_size=0.025),
        attack_record("pgd100", "PGD-100", robust * 0.99, steps=100, restarts=5, step_size=0.025),
        attack_record("cw", "C&W", robust * 0.985, steps=100, restarts=1, step_size=0.01, engine="foolbox"),
        attack_record("autoattack", "AutoAttack", robust * 0.96, engine="pyautoattack", steps=100, step_size=None),
    ]
    curve = [
        attack_record("pgd20", "PGD-20", clean * (robust / clean) ** (eps / 0.1), eps=eps, steps=20, step_size=eps / 4)
        for eps in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
    ]
    clean_record = attack_record("clean", "Clean", clean, eps=0.0, steps=0, step_size=None, restarts=0)
    result = {
        "clean": clean_record,
        "records": records,
        "curve": curve,
        "checks": [
            {"check": "steps", "state": "passed", "message": "PGD-20 70.0 % and PGD-100 69.3 % stay correct"},
            {"check": "single_step", "state": "passed", "message": "FGSM 75.6 % and PGD-100 69.3 % stay correct"},
            {"check": "autoattack", "state": "passed", "message": "PGD-100 69.3 % and AutoAttack 67.2 % stay correct"},
            {"check": "black_box", "state": "not run", "message": "it compares Square and PGD, and Square is missing"},
            {"check": "large_eps", "state": "passed", "message": "PGD-20 leaves 3.1 % correct; guessing gets 10.3 %"},
        ],
        "guessing": 37 / 360,
        "images": 360,
        "classes": 10,
    }
    return {
        "title": title,
        "checkpoint": checkpoint,
        "parameters": 123_456,
        "result": result,
        "corruptions": _corruptions(clean),
        "verification": _verification(clean, robust),
        "smoothing": _smoothing(robust),
    }


def _corruptions(clean: float) -> dict[str, Any]:
    """Two corruptions at two severities, on 300 images."""
    accuracies = {("fog", 1): 0.9, ("fog", 5): 0.5, ("pixelate", 1): 0.8, ("pixelate", 5): 0.6}
    records = [
        {
            "corruption": corruption,
            "severity": severity,
            "version": "0.1.0",
            "accuracy": clean * share,
            "interval": [0.9 * clean * share, 0.1 + 0.9 * clean * share],
            "images": 300,
            "seed": 0,
            "seconds": 1.5,
        }
        for (corruption, severity), share in accuracies.items()
    ]
    by_severity = {"1": 0.85 * clean, "5": 0.55 * clean}
    return {"source": "generated", "mean": 0.7 * clean, "by_severity": by_severity, "records": records}


def _verification(clean: float, robust: float) -> dict[str, Any]:
    """Proofs that fall off faster than what attacks leave, on 200 images."""
    curve = []
    for eps in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3):
        certified, standing = clean * math.exp(-30 * eps / robust), clean * (robust / clean) ** (eps / 0.1)
        curve.append(
            {
                "eps": eps,
                "certified": certified,
                "certified_interval": [0.9 * certified, 0.1 + 0.9 * certified],
                "standing": standing,
                "standing_interval": [0.9 * standing, 0.1 + 0.9 * standing],
                "undecided": standing - certified,
                "images": 200,
            }
        )
    return {
        "norm": "linf",
        "engines": ["ibp", "crown"],
        "version": "0.1.0",
        "attack": {"label": "PGD-40", "engine": "foolbox", "version": "3.3.4", "steps": 40, "restarts": 2},
        "seed": 0,
        "images": 200,
        "correct": round(200 * clean),
        "curve": curve,
        "radius": {
            "images": round(200 * clean),
            "mean": robust / 30,
            "median": robust / 40,
            "attacked_images": 190,
            "attacked_mean": 0.2 * robust,
            "attacked_median": 0.19 * robust,
        },
        "proved_by": {"ibp": 20, "crown": 150},
        "stopped": {"time limit": 3},
        "seconds": 12.5,
    }


def _smoothing(robust: float) -> dict[str, Any]:
    """Randomised smoothing of 100 images."""
    radii = {0.25: robust, 0.5: robust / 2}
    return {
        "norm": "l2",
        "sigma": 0.25,
        "samples": 10_000,
        "selection_samples": 100,
        "failure": 0.001,
        "version": "0.1.0",
        "seed": 0,
        "images": 100,
        "correct": 0.9 * robust,
        "abstained": 0.03,
        "curve": [
            {"eps": eps, "certified": share, "certified_interval": [0.9 * share, 0.1 + 0.9 * share], "images": 100}
            for eps, share in radii.items()
        ],
        "radius": robust / 3,
        "seconds": 3.5,
    }


def attack_record(
    attack: str,
    label: str,
    accuracy: float,
    *,
    eps: float = 0.1,
    engine: str = "dsrna",
    steps: int | None = 20,
    step_size: float | None = 0.025,
    restarts: int = 1,
    images: int = 360,
) -> dict[str, Any]:
    """One record of ``evaluation.json``, with the normal approximation of the 95 % interval."""
    half = 1.96 * math.sqrt(accuracy * (1 - accuracy) / images)
    return {
        "attack": attack,
        "label": label,
        "norm": "linf",
        "eps": eps,
        "accuracy": accuracy,
        "interval": [max(0.0, accuracy - half), min(1.0, accuracy + half)],
        "images": images,
        "engine": engine,
        "version": "0.2.0" if engine == "pyautoattack" else "3.3.4" if engine == "foolbox" else "0.1.0",
        "seed": 0,
        "restarts": restarts,
        "steps": steps,
        "step_size": step_size,
        "seconds": 2.5,
    }


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
