"""Is it a result, or noise? What a search writes down about itself, and says when it ends."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from dsrna.config.objectives import selection_objective
from dsrna.data.images import ImageDataset
from dsrna.data.loader import Batch, BatchLoader
from dsrna.data.splits import stratified
from dsrna.errors import DsrnaError
from dsrna.files import write_json
from dsrna.functional.seeding import generator
from dsrna.json_files import read_json
from dsrna.objectives.base import Objective
from dsrna.progress import Progress
from dsrna.report.evidence import compared_sentences, is_alarming, moved_sentences, verdict_sentence
from dsrna.report.movement import movement
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.supernet import Supernet
from dsrna.stages.job import Job, at_most
from dsrna.stages.trained_candidates import TrainedCandidates
from dsrna.strategies.selection.comparison import Comparison
from dsrna.strategies.selection.paths import FixedSupernet, Paths, PathScore
from dsrna.strategies.selection.sampling import distinct_cells, equal_weights
from dsrna.types import OperationWeights

log = logging.getLogger("dsrna")

SCHEMA = "dsrna.evidence"
VERSION = 1

IMAGES = 512
"""Validation images that cells are compared on; on more, ranks hardly change, on fewer, accuracies tie."""
CALIBRATION_IMAGES = 256
_BATCH = 128
CELLS_OF_A_REHEARSAL = 3


def weigh_evidence(
    job: Job,
    supernet: Supernet,
    expected: OperationWeights,
    genotype: Genotype,
    weights_half: ImageDataset,
    new_supernet: Callable[[], Supernet],
    selection: Mapping[str, Any] | None = None,
) -> None:
    """Writes ``search/evidence.json``, and says in the log what it says.

    What can't be compared is named there and left out: the search itself has succeeded.

    Args:
        job: the run.
        supernet: as the search left it; it stays so.
        expected: the operation weights that the search ended with.
        genotype: the derived cell.
        weights_half: the images that the supernet's weights were trained on.
        new_supernet: a fresh supernet of the search's size.
        selection: what the genotype was chosen by, under its keys in the document.
    """
    compared, problem = None, None
    if job.settings.search.random_cells > 0:
        try:
            compared = _among_random_cells(job, supernet, expected, genotype, weights_half, new_supernet)
        except DsrnaError as error:
            problem = f"The derived cell could not be compared with random ones: {error}"
    moved = movement(read_json(job.folder.architecture_json))
    document = {
        "schema": SCHEMA,
        "version": VERSION,
        "movement": None if moved is None else asdict(moved),
        "random_cells": compared,
        "left_out": problem,
    } | dict(selection or {"candidates": [], "decisions": []})
    write_json(job.folder.evidence_json, document)
    verdict = verdict_sentence(document)
    for line in [*(moved_sentences(moved) if moved else []), *compared_sentences(document)]:
        log.info("%s", line)
    if verdict is not None:
        log.log(logging.WARNING if is_alarming(document) else logging.INFO, "%s", verdict)


def few_batches(images: ImageDataset, count: int, seed: int, purpose: str, batch_size: int = _BATCH) -> Iterator[Batch]:
    """Batches of at most ``count`` images, as many of each class as there are, in random order, not augmented."""
    chosen, _ = stratified(images.labels, min(count, len(images)), generator(seed, f"images for {purpose}"))
    part = images.subset(chosen)
    return BatchLoader(part, min(batch_size, len(part)), seed=seed, purpose=purpose, shuffle=True).batches(0)


def path_objective(job: Job) -> Objective:
    """That of the architecture steps or the selection's; its attack sees the running statistics, a path's own."""
    return selection_objective(job.settings.search, "architecture", job.threat)


def paths_of(
    job: Job,
    supernet: Supernet,
    objective: Objective,
    calibration: ImageDataset,
    held_out: ImageDataset,
    purpose: str,
    images: int = IMAGES,
) -> Paths:
    """The cells of a supernet, scored on up to ``images`` held-out images, by an objective as a search ends with it."""
    objective.advance(math.nextafter(1, 0))
    seed, limits = job.settings.seed, job.settings.trainer.limits
    most = None if limits.batches is None else limits.batches * (limits.batch_size or _BATCH)
    return Paths(
        job.space,
        supernet.to(job.device),
        objective,
        few_batches(calibration, at_most(CALIBRATION_IMAGES, most), seed, f"{purpose} calibration"),
        few_batches(held_out, at_most(images, most), seed, purpose),
        seed,
    )


def _among_random_cells(
    job: Job,
    supernet: Supernet,
    expected: OperationWeights,
    genotype: Genotype,
    weights_half: ImageDataset,
    new_supernet: Callable[[], Supernet],
) -> dict[str, Any] | None:
    count = job.settings.search.random_cells
    if job.settings.trainer.limits.any:
        count = min(count, CELLS_OF_A_REHEARSAL)
    space = job.space
    cells = distinct_cells(
        space, equal_weights(space), count, generator(job.settings.seed, "random cells"), but=[genotype]
    )
    if not cells:
        return None
    epochs = at_most(job.settings.search.comparison_epochs, 1 if job.settings.trainer.limits.any else None)

    def paths_on(of: Supernet, images: int) -> Paths:
        purpose = "comparison with random cells"
        return paths_of(job, of, path_objective(job), weights_half, job.splits.validation, purpose, images)

    paths = own = paths_on(supernet, IMAGES)
    scores: list[PathScore] = []
    with Progress("random cells", epochs + len(cells) + 1, mode=job.settings.trainer.progress) as bar:
        if epochs > 0:
            trained = TrainedCandidates(job, weights_half, supernet, paths_on, new_supernet, "comparison")
            paths = trained.together(
                [genotype, *cells], epochs, IMAGES, lambda done, loss: bar.reach(done, bar.total, {"loss": loss})
            )
        for cell in [genotype, *cells]:
            scores.append(paths.score_of(cell))
            bar.advance(1, {"loss": scores[-1].loss, "acc": scores[-1].accuracy})
    mixture = own.score(FixedSupernet(copy.deepcopy(supernet), expected))
    derived, others = scores[0], scores[1:]
    comparisons = {
        "loss": Comparison.of(derived.loss, [score.loss for score in others]),
        "accuracy": Comparison.of(-derived.accuracy, [-score.accuracy for score in others]),
    }
    # Not by the loss: a path's logits are of any scale, and a cell that all but ignores its input loses little.
    decides = "accuracy"
    if any(score.objective_accuracy != score.accuracy for score in scores):
        decides = "objective_accuracy"
        comparisons[decides] = Comparison.of(
            -derived.objective_accuracy, [-score.objective_accuracy for score in others]
        )
    return {
        "decides": decides,
        "comparison_epochs": epochs,
        "split": "validation",
        "images": paths.images,
        "objective": path_objective(job).title,
        "classes": job.splits.train.classes,
        "mixture": asdict(mixture),
        "derived": asdict(derived),
        "random": [asdict(score) for score in others],
    } | {name: asdict(comparison) for name, comparison in comparisons.items()}
