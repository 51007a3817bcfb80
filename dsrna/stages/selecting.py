"""Choosing the genotype once the search is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from torch import nn

from dsrna.config.objectives import search_objective, selection_objective
from dsrna.config.parts import build_part
from dsrna.data.images import ImageDataset
from dsrna.data.loader import BatchLoader
from dsrna.functional.seeding import generator
from dsrna.progress import Progress
from dsrna.spaces.genotype_codec import to_json
from dsrna.spaces.supernet import Supernet
from dsrna.stages.evidence import IMAGES, paths_of
from dsrna.stages.job import Job, at_most
from dsrna.stages.trained_candidates import TrainedCandidates
from dsrna.strategies.selection.base import Selected, Selection, TrainedSearch
from dsrna.strategies.selection.paths import Paths
from dsrna.strategies.selection.training import fine_tune
from dsrna.types import OperationWeights


def select_genotype(
    job: Job,
    supernet: Supernet,
    weights: OperationWeights,
    weights_half: ImageDataset,
    architecture_half: ImageDataset,
    new_supernet: Callable[[], Supernet],
) -> Selected:
    """What the settings' selection chooses, on the images of the architecture steps: the validation split, which judges
    the genotype and the retrained network later on, chooses nothing here.

    Args:
        job: the run.
        supernet: as the search left it; it stays so.
        weights: the operation weights that the search ended with.
        weights_half: the images of the weight steps.
        architecture_half: the images of the architecture steps.
        new_supernet: a fresh supernet of the search's size.
    """
    settings, search, limits = job.settings, job.settings.search, job.settings.trainer.limits
    selection: Selection = build_part(settings.selection, "selection")

    def tune(network: nn.Module, steps: int, learning_rate: float, purpose: str) -> None:
        objective = selection_objective(search, "weights", job.threat, search_objective)
        loader = BatchLoader(
            weights_half,
            min(at_most(search.batch_size, limits.batch_size), len(weights_half)),
            seed=settings.seed,
            purpose=f"{purpose} images",
            shuffle=True,
            augmentation=job.augmentation(),
            drop_last=True,
            replays=objective.replays,
        )
        count = at_most(steps, limits.batches)
        epochs = range(-(-count // len(loader)))
        fine_tune(
            network,
            objective,
            (batch for _, batch in zip(range(count), (b for e in epochs for b in loader.batches(e)), strict=False)),
            learning_rate=learning_rate,
            gradient_clip=search.gradient_clip,
            noise=lambda number: generator(settings.seed, purpose, number),
        )

    def paths(of: Supernet = supernet, images: int = IMAGES) -> Paths:
        objective = selection_objective(search, "architecture", job.threat)
        return paths_of(job, of, objective, weights_half, architecture_half, "selection", images)

    trained = TrainedCandidates(job, weights_half, supernet, paths, new_supernet, "selection")
    with Progress("selection", 1, mode=settings.trainer.progress) as bar:
        return selection.select(
            TrainedSearch(
                space=job.space,
                weights=weights,
                paths=paths,
                together=trained.together,
                alone=trained.alone,
                tune=tune,
                generator=lambda purpose: generator(settings.seed, "selection", purpose),
                report=bar.reach,
            )
        )


def plain(selected: Selected) -> dict[str, list[dict[str, Any]]]:
    """The candidates and decisions for ``search/evidence.json``."""
    candidates = [
        {
            "genotype": to_json(candidate.genotype),
            **{
                name: None if score is None else asdict(score)
                for name, score in (("score", candidate.score), ("tuned", candidate.tuned), ("alone", candidate.alone))
            },
        }
        for candidate in selected.candidates
    ]
    return {"candidates": candidates, "decisions": [asdict(decision) for decision in selected.decisions]}
