"""Candidates of a selection, trained together in one new supernet or alone, and scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from dsrna import documents
from dsrna.config.objectives import search_objective
from dsrna.data.images import ImageDataset
from dsrna.functional.seeding import derive_seed, generator
from dsrna.json_files import append_line, read_lines
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.genotype_codec import to_json
from dsrna.spaces.supernet import Supernet
from dsrna.stages.candidate_training import train_as_weight_steps
from dsrna.stages.job import Job, at_most
from dsrna.strategies.selection.base import ReportEpoch
from dsrna.strategies.selection.paths import FixedSupernet, Paths, PathScore


class TrainedCandidates:
    """Trains candidates as the weight steps train and scores them on images of the architecture steps.

    All start from the same seed and see the same batches. Each score of a cell that was trained alone is a line of
    ``search/candidates.jsonl`` as soon as it is known: a run that was stopped goes on after the last one.

    Args:
        job: the run.
        images: those of the weight steps.
        supernet: the search's.
        paths: (supernet, number of images) -> what scores its paths and other networks on as many images.
        new_supernet: a fresh supernet of the search's size.
        purpose: tells the checkpoints from those of other candidates of the run.
    """

    def __init__(
        self,
        job: Job,
        images: ImageDataset,
        supernet: Supernet,
        paths: Callable[[Supernet, int], Paths],
        new_supernet: Callable[[], Supernet],
        purpose: str,
    ) -> None:
        self._job, self._images, self._supernet = job, images, supernet
        self._paths, self._new_supernet, self._purpose = paths, new_supernet, purpose
        self._known = {
            str(line["genotype"]): PathScore(
                line["score"]["loss"], line["score"]["accuracy"], line["score"]["objective_accuracy"]
            )
            for _, line in read_lines(job.folder.candidates_jsonl, documents.CandidateTrainedAlone)
        }

    def together(self, cells: Sequence[Genotype], epochs: int, images: int, report: ReportEpoch) -> Paths:
        """The paths of a new supernet in which each step has trained one of some cells.

        Each cell is drawn once before one is drawn again, in a new order each time (strict fairness; Chu, Zhang, Xu:
        *FairNAS*, ICCV 2021), so that paths differ in what they are, not in how often they were trained.
        """
        job, space = self._job, self._job.space
        with self._same_start():
            supernet = self._new_supernet().to(job.device)
        paths = [space.one_hot(cell) for cell in cells]
        fixed = FixedSupernet(supernet, paths[0])

        def draw(number: int) -> None:
            turn, place = divmod(number, len(cells))
            order = torch.randperm(len(cells), generator=generator(job.settings.seed, "candidates' order", turn))
            fixed.fix(paths[int(order[place])])

        what = str([to_json(cell) for cell in cells])
        train_as_weight_steps(
            job, fixed, self._images, epochs, self._checkpoint("together"), what, report, draw,
            search_objective,  # attacks by the statistics of the batch: the running ones are of all cells
        )  # fmt: skip
        return self._paths(supernet, images)

    def alone(self, genotype: Genotype, cells: int | None, epochs: int, images: int, report: ReportEpoch) -> PathScore:
        """The score of a network that was trained alone, of so many cells or, for None, as many as the supernet."""
        written = to_json(genotype)
        if str(written) not in self._known:
            with self._same_start():
                network = self._network(genotype, cells).to(self._job.device)
            checkpoint = self._checkpoint("alone")
            train_as_weight_steps(self._job, network, self._images, epochs, checkpoint, str(written), report)
            score = self._paths(self._supernet, images).score(network)
            append_line(self._job.folder.candidates_jsonl, {"genotype": written, "score": asdict(score)})
            self._known[str(written)] = score
        return self._known[str(written)]

    @contextmanager
    def _same_start(self) -> Iterator[None]:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(self._job.settings.seed, "selection weights"))
            yield

    def _network(self, genotype: Genotype, cells: int | None) -> nn.Module:
        search, splits, limits = self._job.settings.search, self._job.splits, self._job.settings.trainer.limits
        return self._job.space.network(
            genotype, splits.train.shape, splits.train.classes,
            cells=at_most(cells or search.cells, limits.cells), channels=at_most(search.channels, limits.channels),
            mean=splits.mean, std=splits.std,
        )  # fmt: skip

    def _checkpoint(self, how: str) -> Path:
        """Of its own for each way: one that is done is looked at again when a run is stopped in the next."""
        return self._job.folder.candidate_checkpoint(self._purpose, how)
