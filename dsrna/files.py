"""Files that are whole or absent: everything is written to a temporary name beside its target, then renamed."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from dsrna.errors import ConfigError
from dsrna.processes import Process, is_living, this_process

_PART = re.compile(r"\..+\.part(?P<pid>\d+)(-(?P<started>[\w.]*)-(?P<place>\w+))?")
"""Name of a temporary file, which says who writes it. The longer form leaves no doubt."""


def write_atomically(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Calls ``write`` with a binary file that becomes ``path`` only when everything is on disk.

    A process killed in the middle, or a full disk, leaves the old ``path`` as it was.

    Raises:
        OSError: the folder is not writable or the disk is full; the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part(path)
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_new(path: Path, payload: bytes) -> bool:
    """Writes ``payload`` whole, where there is no file yet; of several processes, also over a network, one succeeds.

    Returns:
        Whether it was this one.

    Raises:
        OSError: the folder is not writable or the disk is full.
    """
    part = _part(path)
    try:
        part.write_bytes(payload)
        try:
            os.link(part, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            with suppress(FileExistsError), path.open("xb") as file:
                file.write(payload)
                return True
            return False
        return True
    finally:
        part.unlink(missing_ok=True)


def remove_half_written(folder: Path, dead: Process | None = None) -> int | None:
    """Removes the temporary files that dead processes left in ``folder`` or below it; a living one's never.

    Args:
        folder: where to look.
        dead: a process of any machine that is known to be dead.

    Returns:
        The number of another process that is writing a file there; None where there is none.
    """
    writer = None
    for path in folder.rglob(".*.part*"):
        found = _PART.fullmatch(path.name)
        if found is None:
            continue
        pid, started, place = int(found["pid"]), found["started"], found["place"]
        if dead is not None and (pid, started, place) == (dead.pid, dead.started, dead.place):
            living: bool | None = False
        else:
            living = is_living(pid, started, place)
        if living is False:
            path.unlink(missing_ok=True)
        elif living and pid != os.getpid():
            writer = pid
    return writer


def write_bytes(path: Path, payload: bytes) -> None:
    """Writes ``payload``, atomically."""
    write_atomically(path, lambda file: _write_all(file, payload))


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON, atomically. NaN and infinity are refused, as JSON has neither."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turns an operating-system error in the block into a ConfigError that names ``folder``."""
    try:
        yield
    except OSError as error:
        room = "Make room there and go on with resume=auto, or choose" if is_full(error) else "Choose"
        raise ConfigError(
            f"Expected a folder that can be written to, got {folder}: {error.strerror}. "
            f"{room} another one with out=FOLDER. (conf: out)"
        ) from error


def is_full(error: OSError) -> bool:
    """Whether there is no room for a file: the disk is full, or the user's quota or limit is used up."""
    return error.errno in _FULL


_FULL = {getattr(errno, name, None) for name in ("ENOSPC", "EDQUOT", "EFBIG")} - {None}


def _part(path: Path) -> Path:
    me = this_process()
    return path.with_name(f".{path.name}.part{me.pid}-{me.started}-{me.place}")


def _write_all(file: IO[bytes], payload: bytes) -> None:
    file.write(payload)
