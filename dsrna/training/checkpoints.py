"""Checkpoints: written whole or not at all, of tensors and plain types only, enough to continue bit for bit."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from dsrna.errors import CheckpointError, NonFiniteError
from dsrna.files import write_atomically

log = logging.getLogger("dsrna")


class Interrupted(Exception):  # noqa: N818 - not an error, and not a KeyboardInterrupt, on which Lightning exits
    """Ctrl-C arrived, and the state is saved."""


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Writes tensors and plain types so that ``torch.load(weights_only=True)`` reads them back, atomically."""
    write_atomically(path, lambda file: torch.save(content, file))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU without unpickling code.

    Raises:
        CheckpointError: missing, truncated, or holding anything but tensors and plain types.
    """
    if not path.is_file():
        raise CheckpointError(f"Expected a checkpoint at {path}, found none.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, torch.serialization.pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"Can't read the checkpoint {path}: it is truncated, or not one of dsrna's "
            f"({str(error).splitlines()[0][:120]}). Remove it to start that stage again."
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"Expected a dictionary in {path}, got {type(content).__name__}.")
    return content


def rng_state() -> dict[str, Any]:
    """The state of torch's global generators (drop-path draws from them; everything else has its own seeds)."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_rng_state(state: dict[str, Any]) -> None:
    """Restores what :func:`rng_state` returned; GPU states only where the number of GPUs is the same."""
    torch.set_rng_state(state["cpu"].cpu())
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])


class SaveLast(Checkpoint):
    """Keeps one checkpoint to continue from: after every epoch, every few minutes inside one, and on Ctrl-C.

    Ctrl-C is noticed at the end of the batch, where weights, optimisers and loader agree; a second one stops at once.
    Being a Checkpoint, it runs after the module's own end-of-epoch hook, so it holds the finished epoch.

    Args:
        path: the file, replaced each time.
        minutes: time between checkpoints inside an epoch; 0 means only at the end of epochs.
        clock: seconds, for tests.
    """

    def __init__(self, path: Path, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._seconds, self._clock = path, minutes * 60, clock
        self._saved_at = clock()
        self._asked_to_stop = False
        self._previous: Any = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._saved_at = self._clock()
        try:
            self._previous = signal.signal(signal.SIGINT, self._on_signal)
        except ValueError:  # not the main thread: Ctrl-C does not arrive here
            self._previous = None

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._restore_signal()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_last_batch:  # the end of the epoch saves in a moment
            return
        due = self._seconds > 0 and self._clock() - self._saved_at >= self._seconds
        if due or self._asked_to_stop:
            self._save(trainer)
        self._stop_if_asked()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer)
        self._stop_if_asked()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._restore_signal()
        if isinstance(exception, NonFiniteError):
            snapshot = self._path.with_name("nonfinite.ckpt")
            self._save(trainer, snapshot)
            log.error("The state at the non-finite value is in %s", snapshot)

    def _save(self, trainer: pl.Trainer, path: Path | None = None) -> None:
        target = path or self._path
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        try:
            trainer.save_checkpoint(part)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        self._saved_at = self._clock()

    def _stop_if_asked(self) -> None:
        if self._asked_to_stop:
            raise Interrupted

    def _restore_signal(self) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked_to_stop:
            raise KeyboardInterrupt
        self._asked_to_stop = True
        log.warning("Stopping after this batch, to save the state (press Ctrl-C again to stop at once)")
