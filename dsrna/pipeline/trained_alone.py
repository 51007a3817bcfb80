"""Cells trained alone, as a search trains its weights, to choose among them; what is done is remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import islice

import torch
from torch import nn

from dsrna import documents
from dsrna.config.objectives import retrain_objective
from dsrna.data.images import ImageDataset
from dsrna.data.loader import BatchLoader
from dsrna.functional.seeding import derive_seed, generator
from dsrna.json_files import append_line, read_lines
from dsrna.pipeline.job import Job, at_most
from dsrna.pipeline.optimizers import build_optimizer, build_schedule, interval_of
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.genotype_codec import to_json
from dsrna.strategies.selection.paths import Paths, PathScore
from dsrna.strategies.selection.training import train


class TrainedAlone:
    """Trains cells from new weights and scores them: ``(genotype, epochs, images) -> PathScore``.

    The same seed, batches and optimiser for all of them, so that they differ in the cell alone. Each score is a line of
    ``search/candidates.jsonl`` as soon as it is known: a run that was stopped goes on after the last one.

    Args:
        job: the run.
        weights_half: the images of the weight steps.
        paths: number of images -> what scores a network on as many images of the architecture steps.
    """

    def __init__(self, job: Job, weights_half: ImageDataset, paths: Callable[[int], Paths]) -> None:
        self._job, self._images, self._paths = job, weights_half, paths
        self._file = job.folder.candidates_jsonl
        self._known = {
            str(line["genotype"]): PathScore(
                line["score"]["loss"], line["score"]["accuracy"], line["score"]["objective_accuracy"]
            )
            for _, line in read_lines(self._file, documents.CandidateTrainedAlone)
        }

    def __call__(self, genotype: Genotype, epochs: int, images: int) -> PathScore:
        written = to_json(genotype)
        if str(written) not in self._known:
            score = self._paths(images).score(self.network(genotype, epochs))
            append_line(self._file, {"genotype": written, "score": asdict(score)})
            self._known[str(written)] = score
        return self._known[str(written)]

    def network(self, genotype: Genotype, epochs: int) -> nn.Module:
        """The trained network, on the run's device."""
        job, search, limits = self._job, self._job.settings.search, self._job.settings.trainer.limits
        splits, seed = job.splits, job.settings.seed
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(seed, "selection weights"))
            network = job.space.network(
                genotype, splits.train.shape, splits.train.classes,
                cells=at_most(search.cells, limits.cells), channels=at_most(search.channels, limits.channels),
                mean=splits.mean, std=splits.std,
            ).to(job.device)  # fmt: skip
        loader = BatchLoader(
            self._images, min(at_most(search.batch_size, limits.batch_size), len(self._images)), seed=seed,
            purpose="selection images", shuffle=True, augmentation=job.augmentation(), drop_last=True,
        )  # fmt: skip
        each = at_most(len(loader), limits.batches)
        optimizer = build_optimizer(search.weights_optimizer, "search.weights_optimizer", network.parameters())
        schedule = build_schedule(
            search.weights_schedule, "search.weights_schedule", optimizer, epochs=epochs, steps_per_epoch=each
        )
        objective = retrain_objective(search.weights_objective, "search.weights_objective", job.threat)
        interval = 1 if interval_of(search.weights_schedule) == "step" else each
        objective.advance(0.0)

        def after_step(number: int) -> None:
            if schedule is not None and (number + 1) % interval == 0:
                schedule.step()
            if number + 1 < epochs * each:
                objective.advance((number + 1) / (epochs * each))

        train(
            network,
            objective,
            (batch for epoch in range(epochs) for batch in islice(loader.batches(epoch), each)),
            optimizer,
            gradient_clip=search.gradient_clip,
            noise=lambda number: generator(seed, "selection noise", number),
            after_step=after_step,
        )
        return network
