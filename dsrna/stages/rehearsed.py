"""A few steps of a stage of training: done for real in a folder of their own, timed, and forgotten."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dsrna.clock import working_seconds
from dsrna.config.settings import Settings
from dsrna.data.splits import Splits
from dsrna.peak_memory import PeakMemory
from dsrna.run_folder import RunFolder
from dsrna.runs.logs import logging_to
from dsrna.runs.request import Request
from dsrna.stages.job import Job
from dsrna.stages.run import STAGES, Opened
from dsrna.stages.stage_cost import CostRange
from dsrna.training.fit import device_of
from dsrna.training.step_times import EpochTimes, StepTimes

FEW_IMAGES = 4
"""Of a batch that is tried first, to see whether a whole one costs too much."""
_AFFORDABLE_SECONDS, _ENOUGH_SECONDS = 8.0, 4.0
"""A step of a whole batch that takes longer isn't tried; steps are timed for about so long an epoch."""
_BATCHES = range(2, 9)
"""So many of them, at least and at most."""


@dataclass(frozen=True)
class Rehearsed:
    """What a few steps of a stage took.

    Attributes:
        batch_size, batches: of an epoch.
        epochs: their times.
        before, after: seconds around the epochs.
        held, peak: bytes of memory when the stage began, and at most.
        files: path in the run folder -> bytes.
    """

    batch_size: int
    batches: int
    epochs: list[EpochTimes]
    before: float
    after: float
    held: int
    peak: int
    files: dict[str, int]

    def validated_again(self, images: int, limit: int | None, batch_size: int) -> float:
        """How many times the rehearsed validation an epoch's is, of so many images in batches of another size."""
        wanted = images if limit is None else min(images, limit * batch_size)
        return wanted / min(images, self.batches * self.batch_size)

    def memory(self, batch_size: int, fixed: int) -> CostRange:
        """Of batches of another size: what the stage holds grows with them, but for ``fixed`` bytes at most."""
        grown, factor = max(0, self.peak - self.held), batch_size / self.batch_size
        if factor == 1:
            return CostRange.exactly(self.peak)
        low, high = self.peak + max(0, grown - fixed) * (factor - 1), self.peak + grown * (factor - 1)
        return CostRange.between(low, high)

    def disk(self, epochs: int) -> CostRange:
        """Of so many epochs: checkpoints as they are, records as many as there are epochs; the largest file is there
        twice while it is replaced."""
        longer = epochs / len(self.epochs)
        sizes = {path: size * (1 if path.endswith(".ckpt") else longer) for path, size in self.files.items()}
        total = sum(sizes.values())
        return CostRange(total, total, total + max(sizes.values(), default=0))


def rehearsed(
    stage: str, settings: Settings, outer: Request[Any], splits: Splits, batch_size: int, steps: int
) -> Rehearsed:
    """Does a few steps, of whole batches where that takes seconds, else of a few images.

    Args:
        stage: search, retrain, certified or baseline.
        settings: with the epochs that are to be rehearsed.
        outer: the run that is told about.
        splits: its data.
        batch_size, steps: of the run.
    """

    def tried(size: int, batches: int) -> Rehearsed:
        return short_run(stage, _quietly(settings, batches, size), outer, splits)

    few = min(FEW_IMAGES, batch_size)
    first = tried(few, min(_BATCHES[0], steps))
    a_step = max(first.epochs[-1].steps) * batch_size / few
    if few == batch_size or a_step > _AFFORDABLE_SECONDS:
        return first
    batches = max(_BATCHES[0], min(_BATCHES[-1], int(_ENOUGH_SECONDS / a_step)))
    return tried(batch_size, min(batches, steps))


def short_run(stage: str, settings: Settings, outer: Request[Any], splits: Splits) -> Rehearsed:
    """Does a stage in a folder of its own, and forgets what it gave."""
    limits, watch = settings.trainer.limits, StepTimes()
    assert limits.batch_size is not None
    assert limits.batches is not None
    memory = PeakMemory(device_of(settings.trainer.accelerator))
    with as_a_job(replace(outer, settings=settings, kind=stage), splits, begins=True) as job:
        job.watch, began = watch, working_seconds(job.device)
        STAGES.stages(settings)[stage](job)
        ended = working_seconds(job.device)
        files = sizes_of(job.folder.path)
    return Rehearsed(
        batch_size=limits.batch_size,
        batches=limits.batches,
        epochs=watch.epochs,
        before=watch.began - began,
        after=ended - watch.ended,
        held=memory.before,
        peak=memory.bytes(),
        files=files,
    )


@contextmanager
def as_a_job(request: Request[Settings], splits: Splits, begins: bool) -> Iterator[Job]:
    """Inside, all is as a stage of the run has it, in a folder that is thrown away, and nothing is logged.

    Args:
        request: the run.
        splits: its data.
        begins: whether what it starts from is to be in the folder.
    """
    with tempfile.TemporaryDirectory() as folder, logging_to(RunFolder(Path(folder)).run_log):
        logging.getLogger("dsrna").setLevel(logging.ERROR)  # messages are of epochs that nobody asked for
        with STAGES.working(Opened(replace(request, folder=Path(folder)), splits), begins) as job:
            yield job


def sizes_of(folder: Path) -> dict[str, int]:
    """Path in a folder -> bytes, for every file."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def in_one_process(settings: Settings) -> Settings:
    """The same without other processes, dashboards and progress bars."""
    trainer = settings.trainer.model_copy(update={"progress": "off", "devices": 1})
    return settings.model_copy(update={"logger": {}, "trainer": trainer})


def _quietly(settings: Settings, batches: int, batch_size: int) -> Settings:
    """Settings of a rehearsed stage: so many batches an epoch."""
    limits = settings.trainer.limits.model_copy(update={"batches": batches, "batch_size": batch_size, "epochs": None})
    quiet = in_one_process(settings)
    return quiet.model_copy(update={"trainer": quiet.trainer.model_copy(update={"limits": limits})})
