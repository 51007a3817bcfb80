"""Running one stage's module to its last epoch, from the start or from its checkpoint."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.utilities.exceptions import SIGTERMException

from dsrna.data.loader import BatchLoader, PairedLoader
from dsrna.distributed import group
from dsrna.errors import CheckpointError, ConfigError
from dsrna.interruption import Interrupted, StopSignals
from dsrna.run_folder import RunFolder
from dsrna.training.checkpoints import WholeCheckpoints, load_checkpoint
from dsrna.training.folder_logger import FolderLogger
from dsrna.training.progress_callback import ProgressCallback
from dsrna.training.save_last import SaveLast
from dsrna.training.stage_module import StageModule, checkpoint_state

log = logging.getLogger("dsrna")

Callback = pl.Callback
"""For rooms that don't import Lightning."""


@dataclass(frozen=True)
class TrainerOptions:
    """What all stages of a run share; see ``conf/trainer``. ``callbacks`` watch a rehearsal."""

    accelerator: str
    precision: str
    deterministic: bool
    progress: str
    checkpoint_minutes: float
    limit_batches: int | None
    callbacks: Sequence[Callback] = ()


def fit(
    module: StageModule,
    train: BatchLoader | PairedLoader,
    validation: BatchLoader,
    folder: RunFolder,
    options: TrainerOptions,
    loggers: list[Logger],
) -> None:
    """Trains to the module's last epoch. Continues from the stage's checkpoint where there is one.

    Raises:
        CheckpointError: the checkpoint is damaged, can't be written, or was made with other settings or other data.
        ConfigError: the accelerator is not there.
        Interrupted: by a signal; the state is saved, except after a second Ctrl-C.
        NonFiniteError: a loss or gradient became NaN or infinite.
    """
    last, device = folder.last_checkpoint(module.stage), device_of(options.accelerator)
    resuming = last.exists()
    done = _go_on_from(last, module, train, options.limit_batches) if resuming else 0
    folder.truncate_metrics(module.stage, done)
    with StopSignals(at_once=False, on_ask=_say_when) as stop, warnings.catch_warnings():
        # Our loaders decode in memory or in their own thread, and start where they are told to.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
        trainer = pl.Trainer(
            accelerator=device.type,
            devices=1 if device.type == "cpu" else [device.index],
            precision=options.precision,  # type: ignore[arg-type]
            deterministic="warn" if options.deterministic else False,
            max_epochs=module.epochs,
            limit_train_batches=options.limit_batches,
            limit_val_batches=options.limit_batches,
            logger=[FolderLogger(folder, module.stage), *loggers],
            callbacks=[
                SaveLast(last, options.checkpoint_minutes, stop),
                ProgressCallback(module.stage, options.progress),
                *options.callbacks,
            ],
            # One process, whatever a scheduler's variables say: else Lightning would requeue the job by itself. Of
            # several processes each has a Trainer of its own: DDP's hooks never see what torch.autograd.grad takes.
            plugins=[WholeCheckpoints(), LightningEnvironment()],
            enable_checkpointing=True,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            inference_mode=False,
            log_every_n_steps=1,
            default_root_dir=str(folder.path),
        )
        try:
            trainer.fit(module, train, validation, ckpt_path=str(last) if resuming else None)
        except SIGTERMException:  # the signal came while the Trainer was being set up
            raise Interrupted(signal.SIGTERM) from None


def _say_when(number: signal.Signals) -> None:
    log.warning(
        "%s: stopping as soon as the state is saved: after this batch, or after the validation that is under way "
        "(press Ctrl-C%s to stop at once)",
        "Ctrl-C" if number == signal.SIGINT else number.name, " again" if number == signal.SIGINT else "",
    )  # fmt: skip


def _go_on_from(last: Path, module: StageModule, train: BatchLoader | PairedLoader, limit_batches: int | None) -> int:
    """Sets ``train`` to the batch at which a checkpoint goes on; returns the number of weight steps taken."""
    checkpoint = load_checkpoint(last)
    state = checkpoint_state(checkpoint, module.stage, module.fingerprint)
    batches = len(train) if limit_batches is None else min(len(train), limit_batches)
    if state["batches_per_epoch"] != batches:
        raise CheckpointError(
            f"{last} was made with {state['batches_per_epoch']} batches an epoch, now there are {batches}: the data "
            "set has changed. Bring it back as it was, or start a new run."
        )
    steps = int(checkpoint["global_step"])
    train.epoch, train.start_batch = divmod(steps, batches)
    return steps


def device_of(accelerator: str) -> torch.device:
    """The device of a run with this accelerator; ``auto`` is CUDA or the CPU.

    Apple's GPUs aren't used: they have no float64, which scores and bounds need.

    Raises:
        ConfigError: it is not there, or not one that dsrna knows.
    """
    if accelerator == "cpu":
        return torch.device("cpu")
    if accelerator in ("gpu", "cuda"):
        if not torch.cuda.is_available():
            raise ConfigError(
                "Expected a GPU, found none: use trainer=auto or trainer=cpu. (conf: trainer.accelerator)"
            )
        return torch.device("cuda", group.local_rank())
    if accelerator == "auto":
        return torch.device("cuda", group.local_rank()) if torch.cuda.is_available() else torch.device("cpu")
    raise ConfigError(f"Expected auto, cpu or gpu, got {accelerator!r}. (conf: trainer.accelerator)")


def device_name(device: torch.device) -> str:
    """The device for people, e.g. ``cuda:0 (NVIDIA H200)`` or ``cpu (2 threads)``."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)"
