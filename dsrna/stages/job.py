"""One job: the settings as built parts, shared by its stages."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import nn

from dsrna.config.parts import build_part
from dsrna.config.settings import Settings
from dsrna.config.validate import threat_of
from dsrna.data.augmentation import Augmentation
from dsrna.data.splits import Splits
from dsrna.distributed import group
from dsrna.distributed.meeting import Stages
from dsrna.nn.synced_batchnorm import synced
from dsrna.run_folder import RunFolder
from dsrna.spaces.search_space import SearchSpace
from dsrna.training.dashboards.base import Dashboards
from dsrna.training.fit import Callback, TrainerOptions, device_of
from dsrna.types import Threat

_TOO_SMALL_FOR_THREADS = 16


@dataclass
class Job:
    """What a stage needs. Stages hand results to each other through the run folder alone.

    Attributes:
        settings: typed and validated.
        folder: the run folder.
        fingerprint: of settings and data; checkpoints carry it.
        splits: the data.
        dashboard: what `logger` names.
        shared: the stages that several processes work on together, if there are several.
        watch: is called back by every training: it times the steps of a rehearsal, or ends a trial that is behind.
    """

    settings: Settings
    folder: RunFolder
    fingerprint: str
    splits: Splits
    dashboard: Dashboards
    shared: Stages = field(default_factory=lambda: Stages(None))
    watch: Callback | None = None

    @cached_property
    def space(self) -> SearchSpace:
        return build_part(self.settings.space, "space")

    @cached_property
    def threat(self) -> Threat:
        return threat_of(self.settings)

    @property
    def device(self) -> torch.device:
        return device_of(self.settings.trainer.accelerator)

    def choose_threads(self) -> None:
        """Sets torch's number of CPU threads.

        On images as small as 8x8 a second thread gains nothing, and costs a lot while another process keeps a core busy
        (compare ``make bench-metrics ARGS="--size 8 --batch 64 --threads 1"`` with ``--threads 2``).
        """
        threads = self.settings.trainer.threads
        if threads == "auto":
            _, height, width = self.splits.train.shape
            if max(height, width) <= _TOO_SMALL_FOR_THREADS:
                torch.set_num_threads(1)
            elif group.size() > 1:
                torch.set_num_threads(max(1, torch.get_num_threads() // group.size()))
        else:
            torch.set_num_threads(threads)

    def sync_batchnorm(self, model: nn.Module) -> None:
        """Has BatchNorms that are trained see the whole batch, if that is asked for and others have parts of it."""
        if self.settings.trainer.sync_batchnorm and group.size() > 1:
            synced(model)

    def augmentation(self, cutout: int = 0) -> Augmentation:
        chosen = self.settings.data.augmentation
        return Augmentation(chosen.crop_padding, chosen.horizontal_flip, cutout)

    def trainer_options(self) -> TrainerOptions:
        trainer = self.settings.trainer
        return TrainerOptions(
            accelerator=trainer.accelerator,
            precision=trainer.precision,
            deterministic=trainer.deterministic,
            progress=trainer.progress,
            checkpoint_minutes=trainer.checkpoint_minutes,
            limit_batches=trainer.limits.batches,
            callbacks=() if self.watch is None else (self.watch,),
        )


def at_most(value: int, limit: int | None) -> int:
    """``value``, or ``limit`` where that is smaller."""
    return value if limit is None else min(value, limit)
