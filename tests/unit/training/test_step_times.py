"""Times of a training, by a clock that work moves on."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from dsrna.training.step_times import EpochTimes, StepTimes

A_STEP, A_VALIDATION, A_CHECKPOINT, A_START = 1.0, 10.0, 100.0, 1000.0


class Training(pl.LightningModule):
    """Takes time, and learns nothing."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization, self.weight, self.now = False, torch.nn.Parameter(torch.zeros(1)), 0.0

    def configure_optimizers(self):
        self.now += A_START
        return torch.optim.SGD([self.weight], 0.1)

    def training_step(self, batch, batch_idx):
        self.now += A_STEP

    def validation_step(self, batch, batch_idx):
        self.now += A_VALIDATION


class Saved(Checkpoint):
    """Is called after every other hook, as the real one is."""

    def on_train_epoch_end(self, trainer, pl_module):
        pl_module.now += A_CHECKPOINT


def test_steps_validation_and_the_rest_of_every_epoch(tmp_path):
    training = Training()
    times, data = StepTimes(lambda device: training.now), torch.utils.data.DataLoader([1.0] * 3)
    pl.Trainer(
        accelerator="cpu", max_epochs=2, num_sanity_val_steps=0, logger=False, callbacks=[Saved(), times],
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    ).fit(training, data, torch.utils.data.DataLoader([1.0] * 2))  # fmt: skip
    an_epoch = EpochTimes([1.0, 1.0, 1.0], 20.0, 123.0)
    assert times.epochs == [an_epoch, an_epoch]
    assert an_epoch.rest == 100.0
    assert (times.began, times.ended) == (1000.0, 1246.0)
