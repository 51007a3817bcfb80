"""Stage 3: evaluate the trained networks under attack, and verify them, on the test split."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import nn

from dsrna.config.validate import (
    attack_grid,
    corruption_sweep,
    eps_curve,
    further_threats,
    smoothing,
    spatial,
    verification,
)
from dsrna.distributed import group
from dsrna.errors import CheckpointError
from dsrna.evaluation.base import EvaluationAttack
from dsrna.evaluation.corruption_accuracy import corruption_accuracies
from dsrna.evaluation.corruption_sweep import CorruptionSweep
from dsrna.evaluation.evaluator import evaluate as evaluate_network
from dsrna.evaluation.saved_examples import saved_bytes
from dsrna.evaluation.spatial import SpatialGrid, spatial_accuracy
from dsrna.files import write_json
from dsrna.progress import Progress
from dsrna.report.certified import certified_point
from dsrna.report.results import threat_text
from dsrna.stages.evaluation_cost import CountedPasses, cost_line, counted_passes
from dsrna.stages.evaluation_passes import chosen_attacks
from dsrna.stages.job import Job
from dsrna.training.trained_network import load_network
from dsrna.verification import Verification, verify
from dsrna.verification.smoothing import Smoothing, certify_by_smoothing

log = logging.getLogger("dsrna")


def evaluate(job: Job) -> None:
    """Evaluates every trained network of the run folder and writes ``evaluation.json``."""
    found = list(job.folder.networks)
    if not found:
        raise CheckpointError(
            f"Expected a trained network in {job.folder.path}, found none. "
            "Run the retrain stage first, or give a run folder or a best.ckpt as `from`."
        )
    attacks = chosen_attacks(job.settings)
    counted = counted_passes(job.settings, job.splits)
    with group.in_turns():
        networks = {stage: _evaluate_one(job, stage, attacks, counted) for stage in found}
    if not group.leads():
        return
    document = {
        "schema": "dsrna.evaluation",
        "version": 1,
        "threat": {"norm": job.threat.norm, "eps": job.threat.eps},
        "data": job.splits.origin,
        "split": "test",
        "rehearsal": job.folder.is_rehearsal,
        "class_names": list(job.splits.class_names),
        "networks": networks,
    }
    write_json(job.folder.evaluation_json, document)
    for stage, entry in networks.items():
        numbers = {f"{stage}/test/acc": entry["result"]["clean"]["accuracy"]}
        numbers |= {f"{stage}/test/acc_{r['attack']}_{r['norm']}": r["accuracy"] for r in entry["result"]["records"]}
        numbers |= {
            f"{stage}/test/acc_{r['attack']}_{r['norm']}_{r['eps']:.6g}": r["accuracy"]
            for r in entry["result"]["further"]
        }
        certified = certified_point(document, stage)
        if certified is not None:
            numbers[f"{stage}/test/certified_{job.threat.norm}"] = certified["certified"]
        if entry["corruptions"] is not None and entry["corruptions"]["mean"] is not None:
            numbers[f"{stage}/test/acc_corrupted"] = entry["corruptions"]["mean"]
        if entry["spatial"] is not None:
            numbers[f"{stage}/test/acc_spatial"] = entry["spatial"]["accuracy"]
        job.dashboard.log_summary(numbers | {"rehearsal": 1.0} if document["rehearsal"] else numbers)
        job.dashboard.log_table(f"{stage}/attacks", entry["result"]["records"] + entry["result"]["further"])
        _log_checks(stage, entry["result"]["checks"])


def _log_checks(stage: str, checks: list[dict[str, str]]) -> None:
    """Which checks for gradient masking passed, in one line; why the others didn't, as a warning each."""
    by_state: dict[str, list[str]] = {"passed": [], "failed": [], "not run": []}
    for check in checks:
        by_state[check["state"]].append(check["check"])
        if check["state"] == "failed":
            log.warning("%s: gradient masking: %s", stage, check["message"])
    summary = "; ".join(f"{state}: {', '.join(names)}" for state, names in by_state.items() if names)
    log.info("%s: checks for gradient masking %s", stage, summary)


def _evaluate_one(job: Job, stage: str, attacks: list[EvaluationAttack], counted: CountedPasses) -> dict[str, Any]:
    checkpoint = job.folder.best_checkpoint(stage)
    test, settings = job.splits.test, job.settings
    network, _, about = load_network(checkpoint, settings.model)
    curve = eps_curve(settings)
    grid = [(attack, ball) for attack, balls in attack_grid(settings).values() for ball in balls]
    threats = further_threats(settings)
    attacked = sum(
        attack.repeats * (threat.norm in attack.norms) for threat in (job.threat, *threats) for attack in attacks
    )
    if settings.evaluate.save_examples:
        size = saved_bytes(len(test), math.prod(test.shape), attacked)
        log.info("%s: adversarial images take up to %.1f MB in %s", stage, size / 1e6, job.folder.evaluation_dir)
    log.info("%s: %s", stage, cost_line(network, counted, job.splits, settings.evaluate.batch_size, job.device))
    others = [load_network(path, settings.model)[0] for name, path in job.folder.networks.items() if name != stage]
    # Beside the attacks: clean, and the checks at a large eps and by transfer.
    measurements = attacked + len(curve) + len(grid) + 2 + bool(others)
    with Progress(f"evaluate {stage}", measurements * len(test), mode=settings.trainer.progress) as bar:
        before: dict[str, int] = {}

        def progress(label: str, done: int, images: int, accuracy: float) -> None:
            before.setdefault(label, 0)
            if done <= before[label]:  # the same attack at another eps
                before[label] = 0
            bar.advance(done - before[label], {label: f"{accuracy:.2%}"})
            before[label] = done

        result = evaluate_network(
            cast(nn.Module, torch.compile(network)) if settings.evaluate.torch_compile else network,
            test,
            attacks,
            job.threat,
            seed=settings.seed,
            batch_size=settings.evaluate.batch_size,
            folder=job.folder.evaluation_dir / stage,
            threats=threats,
            save_examples=settings.evaluate.save_examples,
            eps_curve=curve,
            grid=grid,
            others=others,
            device=job.device,
            progress=progress,
        )
    shown = [("clean", result["clean"]["accuracy"]), *((one["label"], one["accuracy"]) for one in result["records"])]
    shown += [
        (f"{one['label']} ({threat_text(one['norm'], one['eps'])})", one["accuracy"]) for one in result["further"]
    ]
    log.info("%s: %s", stage, ", ".join(f"{label} {100 * accuracy:.2f} %" for label, accuracy in shown))
    sweep, moves = corruption_sweep(settings), spatial(settings)
    verified, smoothed = (verification(settings), smoothing(settings)) if group.leads() else (None, None)
    return {
        "title": about["title"],
        "checkpoint": str(checkpoint.relative_to(job.folder.path)),
        "epoch": about["numbers"].get("epoch"),
        "parameters": sum(p.numel() for p in network.parameters()),
        "result": result,
        "corruptions": None if sweep is None else _corrupt_one(job, stage, network, sweep),
        "verification": None if verified is None else _verify_one(job, stage, network, verified),
        "spatial": None if moves is None else _move_one(job, stage, network, moves),
        "smoothing": None if smoothed is None else _smooth_one(job, stage, network, smoothed),
    }


def _corrupt_one(job: Job, stage: str, network: nn.Module, sweep: CorruptionSweep) -> dict[str, Any]:
    settings, seen = job.settings, ""
    with Progress(f"corrupt {stage}", len(sweep), mode=settings.trainer.progress) as bar:

        def progress(label: str, done: int, images: int, accuracy: float) -> None:
            nonlocal seen
            if done == images and label != seen:
                seen = label
                bar.advance(1, {label: f"{accuracy:.2%}"})

        result = corruption_accuracies(
            network,
            job.splits.test,
            sweep,
            seed=settings.seed,
            batch_size=settings.evaluate.batch_size,
            folder=job.folder.evaluation_dir / stage,
            device=job.device,
            progress=progress,
        )
    severities = [
        f"{severity}: {100 * mean:.2f} %" for severity, mean in result["by_severity"].items() if mean is not None
    ]
    log.info("%s: mean accuracy on corrupted images by severity %s", stage, ", ".join(severities))
    return result


def _move_one(job: Job, stage: str, network: nn.Module, grid: SpatialGrid) -> dict[str, Any]:
    def measured(progress: Callable[..., None], **place: Any) -> dict[str, Any]:
        def show(label: str, done: int, images: int, accuracy: float) -> None:
            progress(done, images, {label: f"{accuracy:.2%}"})

        size = job.settings.evaluate.batch_size
        return spatial_accuracy(network, job.splits.test, grid, batch_size=size, progress=show, **place)

    result = _measured(job, stage, "rotate", measured)
    log.info("%s: rotated and shifted at worst %.2f %%", stage, 100 * result["accuracy"])
    return result


def _verify_one(job: Job, stage: str, network: nn.Module, verified: Verification) -> dict[str, Any]:
    result = _measured(job, stage, "verify", partial(verify, network, job.splits.test, verified))
    certified = [f"{100 * point['certified']:.2f} % at eps {point['eps']:.4g}" for point in result["curve"]]
    radius = [f"mean radius {result['radius']['mean']:.4g}"] if result["radius"] else []
    log.info("%s: certified in %s: %s", stage, result["norm"], ", ".join(certified + radius))
    return result


def _smooth_one(job: Job, stage: str, network: nn.Module, smoothed: Smoothing) -> dict[str, Any]:
    result = _measured(job, stage, "smooth", partial(certify_by_smoothing, network, job.splits.test, smoothed))
    certified = [f"{100 * point['certified']:.2f} % at eps {point['eps']:g}" for point in result["curve"]]
    certified.append(f"mean radius {result['radius']:.4g}")
    log.info("%s: certified by smoothing in l2, sigma %g: %s", stage, result["sigma"], ", ".join(certified))
    return result


def _measured(job: Job, stage: str, doing: str, measure: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """What is found of the test images, one after another, with a progress bar and files in the stage's folder."""
    settings = job.settings
    with Progress(f"{doing} {stage}", len(job.splits.test), mode=settings.trainer.progress) as bar:
        folder = job.folder.evaluation_dir / stage
        return measure(seed=settings.seed, folder=folder, device=job.device, progress=bar.reach)
