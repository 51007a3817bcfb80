"""The checkpoint to continue from."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from dsrna.distributed import group
from dsrna.errors import CheckpointError, NonFiniteError
from dsrna.interruption import Interrupted, StopSignals
from dsrna.training.stage_module import StageModule

log = logging.getLogger("dsrna")

_SAVE, _STOP = 1, 2


class SaveLast(Checkpoint):
    """Keeps one checkpoint to continue from: after every epoch, every few minutes inside one, and when told to stop.

    It saves where weights, optimisers, schedule and running means agree: when a batch is done, and when an epoch is
    done. Between the last batch and the end of the epoch lies the validation, in which Lightning can't resume: there it
    waits for the end of the epoch. Being a Checkpoint, it is called after the module's own end-of-epoch hook.

    Args:
        path: the file, replaced each time.
        minutes: time between checkpoints inside an epoch; 0 means only at the end of epochs.
        stop: asked after every batch whether to save and stop.
        clock: seconds, for tests.
    """

    def __init__(
        self, path: Path, minutes: float, stop: StopSignals, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path, self._seconds, self._stop, self._clock = path, minutes * 60, stop, clock
        self._saved_at = clock()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._saved_at = self._clock()
        self._stop.listen()  # Lightning has put its own handler before these, which ends the process without saving

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        due = self._seconds > 0 and self._clock() - self._saved_at >= self._seconds
        if not trainer.is_last_batch:
            wanted = group.code_of_leader(_STOP if self._stop.asked else _SAVE if due else 0)
            if wanted:
                self._save(trainer, pl_module, stops=wanted == _STOP)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer, pl_module, stops=group.code_of_leader(_STOP if self._stop.asked else 0) == _STOP)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if not isinstance(exception, NonFiniteError) or not group.leads():
            return
        snapshot = self._path.with_name("nonfinite.ckpt")
        try:
            trainer.save_checkpoint(snapshot, weights_only=False)
        except CheckpointError as error:  # the value that isn't finite is what the user must hear of
            log.error("%s", error)
            return
        log.error("The state at that moment (step %d) is in %s", trainer.global_step, snapshot)

    def _save(self, trainer: pl.Trainer, module: pl.LightningModule, stops: bool) -> None:
        if isinstance(module, StageModule):
            module.before_checkpoint()
        if group.leads():
            trainer.save_checkpoint(self._path, weights_only=False)
            self._stop.stop_if_asked()
        self._saved_at = self._clock()
        if stops:
            raise Interrupted(signal.SIGTERM)  # of one that follows
