"""Checkpoint files: whole or absent, of tensors and plain types only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from dsrna.errors import CheckpointError
from dsrna.files import write_atomically


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Writes tensors and plain types so that ``torch.load(weights_only=True)`` reads them back, atomically.

    Raises:
        CheckpointError: the disk is full or the folder can't be written to; what was at ``path`` is untouched.
    """
    try:
        write_atomically(path, lambda file: torch.save(content, file))
    except (OSError, RuntimeError) as error:  # torch's writer reports some failures of the file as a RuntimeError
        raise CheckpointError(
            f"Can't write the checkpoint {path}: {_first_line(error)}. What was there before is whole. "
            "Make room or mend the folder's permissions, then go on with resume=auto."
        ) from error


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
            f"({_first_line(error)}). Remove it to start that stage again."
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"Expected a dictionary in {path}, got {type(content).__name__}.")
    return content


class WholeCheckpoints(TorchCheckpointIO):
    """Makes Lightning write and read checkpoints by :func:`save_checkpoint` and :func:`load_checkpoint`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Writes ``checkpoint`` to ``path``; there are no storage options."""
        save_checkpoint(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Reads ``path`` onto the CPU, never unpickling code, whatever the arguments say."""
        return load_checkpoint(Path(path))


def _first_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text.splitlines() or [type(error).__name__])[0][:120]
