"""Checkpoint files: whole or absent, of tensors and plain types only, each with a digest of what it holds."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from dsrna.errors import CheckpointError
from dsrna.files import write_atomically
from dsrna.training.digest import digest_of

log = logging.getLogger("dsrna")

DIGEST = "digest"
"""The key of ``{"version": 1, "sha256": …}``, the digest of everything else in the file."""
VERSION = 1


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Writes tensors and plain types, and their digest, so that ``torch.load(weights_only=True)`` reads them back.

    Raises:
        CheckpointError: the disk is full or the folder can't be written to; what was at ``path`` is untouched.
    """
    signed = content | {DIGEST: {"version": VERSION, "sha256": digest_of(content)}}
    try:
        write_atomically(path, lambda file: torch.save(signed, file))
    except (OSError, RuntimeError) as error:  # torch's writer stumbles over the end of a file that couldn't be written
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        raise CheckpointError(
            f"Can't write the checkpoint {path}: {_first_line(cause)}. What was there before is whole. "
            "Make room or mend the folder's permissions, then go on with resume=auto."
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What :func:`save_checkpoint` wrote, on the CPU, without unpickling code.

    Raises:
        CheckpointError: missing, truncated, holding anything but tensors and plain types, or not what was written.
    """
    return checked(path, read_checkpoint(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, with its digest, which is yet to be :func:`checked`.

    Raises:
        CheckpointError: missing, truncated, or holding anything but tensors and plain types.
    """
    if not path.is_file():
        raise CheckpointError(f"Expected a checkpoint at {path}, found none.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make torch's reader fail in any way
        raise CheckpointError(
            f"Can't read the checkpoint {path}: it is truncated or damaged, or not one of dsrna's "
            f"({_reason(error)}). Use a whole copy of it, or start a new run."
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"Expected a dictionary in {path}, got {type(content).__name__}.")
    return content


def checked(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """The content without its digest, once that is known to be right.

    A file without one, by a dsrna that wrote none or by other code, is taken, and the log says so.

    Raises:
        CheckpointError: it isn't what was written, or its digest is of a newer version.
    """
    bare = {key: value for key, value in content.items() if key != DIGEST}
    noted = content.get(DIGEST)
    if noted is None:
        log.warning("%s has no digest (version 0, before dsrna wrote any): nothing tells whether it is whole.", path)
        return bare
    if not isinstance(noted, dict) or noted.get("version") != VERSION:
        version = noted.get("version") if isinstance(noted, dict) else noted
        raise CheckpointError(f"Expected a digest of version {VERSION} in {path}, got version {version!r}.")
    try:
        found = digest_of(bare)
    except TypeError as error:
        raise CheckpointError(f"{path} isn't a checkpoint of dsrna's: {error}") from error
    if found != noted.get("sha256"):
        raise CheckpointError(
            f"What is in {path} isn't what was written to it: its digest is wrong. The file is damaged, or was edited. "
            "Use a whole copy of it; who edited it on purpose leaves the key `digest` out."
        )
    return bare


class WholeCheckpoints(TorchCheckpointIO):
    """Makes Lightning write and read checkpoints by :func:`save_checkpoint` and :func:`load_checkpoint`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Writes ``checkpoint`` to ``path``; there are no storage options."""
        save_checkpoint(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Reads ``path`` onto the CPU, never unpickling code, whatever the arguments say."""
        return load_checkpoint(Path(path))


def _reason(error: Exception) -> str:
    """Torch's advice to unpickle code is left out, and the object that it met is named."""
    if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return f"it holds an object of {found[1]}, where tensors and plain values alone are read"
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text.splitlines() or [type(error).__name__])[0][:120]
