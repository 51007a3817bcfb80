"""JSON documents and files of JSON lines, checked as they are read: somebody may have edited or damaged them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dsrna.conforming import misfit
from dsrna.errors import CheckpointError

RESTORE = "Bring the file back as it was, or start a new run."
"""What a message about a damaged file ends with."""


def read_json(path: Path, shape: Any = Any) -> Any:
    """The value in a JSON file.

    Args:
        path: the file.
        shape: the type of the value, see :mod:`dsrna.documents`.

    Raises:
        CheckpointError: the file is missing, no ordinary file, not whole, or holds something else.
    """
    try:
        value = _value(_content(path))
    except ValueError as error:
        raise CheckpointError(
            f"Expected JSON in {path}, got a truncated or damaged file ({error}). {RESTORE}"
        ) from error
    return _checked(path, value, shape)


def read_document(
    path: Path, schema: str, version: int, shape: Any = dict[str, Any], *, oldest: int | None = None
) -> dict[str, Any]:
    """The object in ``path``, which must say ``{"schema": schema, "version": version, …}`` and be of that shape.

    Args:
        path: the file.
        schema, version: what it must say.
        shape: see :func:`read_json`.
        oldest: the oldest version that is read too; None for this one alone.

    Raises:
        CheckpointError: missing, damaged, another schema, another version, or another content.
    """
    value = read_json(path)
    found = (value.get("schema"), value.get("version")) if isinstance(value, dict) else (None, None)
    if found[0] != schema or found[1] not in range(version if oldest is None else oldest, version + 1):
        raise CheckpointError(
            f"Expected {schema} version {version} in {path}, got {found[0]} version {found[1]}. "
            "Read it with the dsrna release that wrote it, or run again."
        )
    document: dict[str, Any] = _checked(path, value, shape)
    return document


def read_lines(path: Path, shape: Any) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The finished lines of a file of JSON lines, and what they say; none where there is no file.

    Raises:
        CheckpointError: a finished line is damaged, or not of that shape.
    """
    if not path.exists():
        return
    for number, line in enumerate(_content(path).splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            return
        try:
            record = _value(line)
            wrong = misfit(record, shape)
        except ValueError as error:
            wrong = "", f"got a damaged line ({error})"
        if wrong is not None:
            raise CheckpointError(f"Expected JSON in line {number} of {path}: {_at(wrong)}. {RESTORE}")
        yield line, record


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Adds one line; an unfinished one before it, which a killed process left, is cut."""
    line = json.dumps(record, allow_nan=False).encode() + b"\n"
    with path.open("a+b") as file:
        _cut_unfinished_line(file.fileno())
        file.write(line)


def _checked(path: Path, value: Any, shape: Any) -> Any:
    wrong = misfit(value, shape)
    if wrong is not None:
        raise CheckpointError(f"{path}: {_at(wrong)}. {RESTORE}")
    return value


def _at(wrong: tuple[str, str]) -> str:
    place, what = wrong
    return f"{what}, at {place}" if place else what


def _content(path: Path) -> bytes:
    """What is in an ordinary file: reading anything else, such as a pipe, may never end."""
    if path.exists() and not path.is_file():
        raise CheckpointError(f"Expected a file, got {path}, which is none that can be read to its end.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"Expected a readable file {path}, got: {error.strerror}.") from error


def _value(text: bytes) -> Any:
    """The value that JSON stands for. Raises ValueError where it is none, as NaN, or nested without end."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _cut_unfinished_line(descriptor: int) -> None:
    """Cuts what follows the last newline, so that the next line isn't glued to what a killed process left."""
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return
    content = os.pread(descriptor, size, 0)
    os.ftruncate(descriptor, content.rfind(b"\n") + 1)
