"""Files that are whole or absent: everything is written to a temporary name beside its target, then renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any


def write_atomically(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Calls ``write`` with a binary file that becomes ``path`` only when everything is on disk.

    A process killed in the middle, or a full disk, leaves the old ``path`` as it was.

    Raises:
        OSError: the folder is not writable or the disk is full; the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part{os.getpid()}")
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_bytes(path: Path, payload: bytes) -> None:
    """Writes ``payload``, atomically."""
    write_atomically(path, lambda file: _write_all(file, payload))


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON, atomically. NaN and infinity are refused, as JSON has neither."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def _write_all(file: IO[bytes], payload: bytes) -> None:
    file.write(payload)
