"""Reading the published JSON files, with messages that say what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dsrna.benchmarks.classes import representatives
from dsrna.errors import DataError


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: it can't be read, is truncated, or isn't JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"Expected a table at {path}, but can't read it: {error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"Expected JSON in {path}, got something else ({error}); is it truncated? Download it again."
        ) from error


def entry(value: Any, path: Path, *keys: str) -> Any:
    """``value[keys[0]][keys[1]]…`` of a file's content.

    Raises:
        DataError: a key is missing; the message names the file, the place and what is there.
    """
    for depth, key in enumerate(keys):
        if not isinstance(value, dict) or key not in value:
            there = ", ".join(map(repr, list(value)[:5])) if isinstance(value, dict) else type(value).__name__
            place = "".join(f"[{earlier!r}]" for earlier in keys[:depth]) or "the top"
            raise DataError(f"{path}: expected the key {key!r} at {place}, got {there}; is this the right file?")
        value = value[key]
    return value


def by_class(entries: Mapping[str, Any], path: Path) -> np.ndarray:
    """(6466, …) values of every class; NaN where the file has none.

    Args:
        entries: the index of a class, as text -> a number, or numbers of one shape.
        path: the file, for messages.

    Raises:
        DataError: a key isn't the index of a class, or a value isn't numbers of the same shape as the others.
    """
    rows = class_rows(entries, path)
    try:
        values = np.array(list(entries.values()))
    except ValueError as error:
        raise DataError(f"{path}: expected numbers of the same shape for every architecture; is it damaged?") from error
    if not np.issubdtype(values.dtype, np.number):
        raise DataError(f"{path}: expected numbers for every architecture, got {values.dtype}; is it damaged?")
    if len(values) == len(representatives()) and np.issubdtype(values.dtype, np.integer):
        table = np.empty(values.shape, dtype=np.int32)
    else:
        table = np.full((len(representatives()), *values.shape[1:]), np.nan)
    table[rows] = values
    return table


def class_rows(entries: Mapping[str, Any], path: Path) -> np.ndarray:
    """The row of every key, which is the index of a class as text.

    Raises:
        DataError: there is no entry, or a key that isn't the index of a class.
    """
    known = representatives()
    try:
        indices = np.array([int(key) for key in entries], dtype=np.int64)
    except ValueError as error:
        raise DataError(
            f"{path}: expected indices of architectures as keys ({error}); is this the right file?"
        ) from error
    if not len(indices):
        raise DataError(f"{path}: expected an entry for every architecture, got none.")
    rows = np.searchsorted(known, indices).clip(max=len(known) - 1)
    wrong = indices[known[rows] != indices]
    if len(wrong):
        raise DataError(
            f"{path}: architecture {wrong[0]} stands for no class of isomorphic architectures in NAS-Bench-201; "
            "is this the right file?"
        )
    return rows


def check_accuracies(values: np.ndarray, path: Path) -> None:
    """Refuses what can't be accuracies.

    Raises:
        DataError: a value lies outside of [0, 1].
    """
    if bool(((values < 0) | (values > 1)).any()):
        raise DataError(f"{path}: expected accuracies in [0, 1], got {np.nanmin(values)} to {np.nanmax(values)}.")
