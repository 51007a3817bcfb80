"""The progress bar of a training stage."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from dsrna.progress import Progress
from dsrna.training.stage_module import StageModule


class ProgressCallback(Callback):
    """One bar over all batches of all epochs, with the running means of the epoch beside it."""

    def __init__(self, title: str, mode: str) -> None:
        self._title, self._mode = title, mode
        self._bar: Progress | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, StageModule)
        total = pl_module.epochs * int(trainer.num_training_batches)
        self._bar = Progress(self._title, total, done=trainer.global_step, mode=self._mode)
        self._bar.__enter__()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, StageModule)
        if self._bar is not None:
            means = {name.replace("/", " "): value for name, value in pl_module.averages.means().items()}
            self._bar.advance(1, {"epoch": f"{trainer.current_epoch + 1}", **means})

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None
