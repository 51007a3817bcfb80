"""What each step, each validation and each epoch of a training took, for telling what more of them will take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch

from dsrna.clock import working_seconds


@dataclass
class EpochTimes:
    """Seconds of an epoch.

    Attributes:
        steps: of each batch that was trained on, with loading it.
        validation: of validating on all its batches.
        seconds: of the whole epoch, with checkpoint and records.
    """

    steps: list[float] = field(default_factory=list)
    validation: float = 0.0
    seconds: float = 0.0

    @property
    def rest(self) -> float:
        """What comes once an epoch, however many batches it has."""
        return max(0.0, self.seconds - sum(self.steps) - self.validation)


class StepTimes(pl.Callback):
    """Times a training.

    Args:
        clock: device -> seconds, for tests.

    Attributes:
        epochs: so far.
        began, ended: when the first epoch began and the last one ended, by the clock.
    """

    def __init__(self, clock: Callable[[torch.device], float] = working_seconds) -> None:
        self._clock = clock
        self.epochs: list[EpochTimes] = []
        self.began = self.ended = self._mark = self._epoch_began = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._mark = self._epoch_began = self._now(pl_module)
        if self.epochs:
            self.epochs[-1].seconds += self._mark - self.ended  # the checkpoint is saved after every other hook
        else:
            self.began = self._mark
        self.epochs.append(EpochTimes())

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.epochs[-1].steps.append(self._lap(pl_module))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.epochs[-1].validation = self._lap(pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.ended = self._now(pl_module)
        self.epochs[-1].seconds = self.ended - self._epoch_began

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        now = self._now(pl_module)
        self.epochs[-1].seconds += now - self.ended
        self.ended = now

    def _lap(self, module: pl.LightningModule) -> float:
        before, self._mark = self._mark, self._now(module)
        return self._mark - before

    def _now(self, module: pl.LightningModule) -> float:
        return self._clock(module.device)
