"""What is told of a training after every epoch, once its record is written and its state is saved."""

from __future__ import annotations

from collections.abc import Callable

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint


class AfterEpoch(Checkpoint):
    """Calls somebody at the end of every epoch; what that raises ends the training.

    Being a Checkpoint, it is called after the module's own hook and after those before it in the list.

    Args:
        tell: takes nothing.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._tell()
