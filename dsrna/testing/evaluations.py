"""A made-up ``evaluation.json``, for tests of whatever reads it."""

from __future__ import annotations

import math
from typing import Any


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
        "spatial": {
            "rotation": 30.0,
            "translation": 3 / 32,
            "rotations": 31,
            "translations": 5,
            "version": "0.1.0",
            "accuracy": 0.4 * clean,
            "interval": [0.3 * clean, 0.5 * clean],
            "images": 360,
            "seconds": 2.0,
        },
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
