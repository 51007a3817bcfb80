"""Tables converted once to memory-mapped arrays, and noticed to be stale when their source changes.

A folder holds one ``.npy`` file a table and ``index.json``, which is written last::

    {"schema": "dsrna.tables", "version": 1,
     "sources": [{"name": …, "size": …, "mtime_ns": …, "sha256": …}, …],
     "tables": {"cifar10/pgd": {"file": …, "axes": [{"name": "eps", "levels": […]}]}, …}}

Sizes and times are looked at on every load; where they differ, the checksum decides.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dsrna.benchmarks.table import Axis, Table
from dsrna.errors import DataError
from dsrna.files import write_atomically, write_json
from dsrna.user_cache import home_cache, temporary_cache

SCHEMA = "dsrna.tables"
VERSION = 1


def converted(sources: Sequence[Path], folder: Path, convert: Callable[[], Mapping[str, Table]]) -> dict[str, Table]:
    """Memory-mapped tables: what an earlier call stored, or what ``convert`` gives, stored for the next call.

    Args:
        sources: the files that ``convert`` reads.
        folder: where the arrays lie; belongs to these sources alone.
        convert: table name -> table, read from the sources.

    Raises:
        DataError: a source or the folder can't be used.
    """
    index = _read_index(folder)
    stats = [_stat(source) for source in sources]
    stored = index.get("sources", [])
    if [{key: entry.get(key) for key in stat} for entry, stat in zip(stored, stats, strict=False)] == stats:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # a damaged store is made again
            return _load(folder, index)
    fingerprints = [stat | {"sha256": _checksum(source)} for stat, source in zip(stats, sources, strict=True)]
    try:
        if [entry.get("sha256") for entry in stored] == [entry["sha256"] for entry in fingerprints]:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                tables = _load(folder, index)
                write_json(folder / "index.json", index | {"sources": fingerprints})
                return tables
        return _store(folder, fingerprints, convert())
    except OSError as error:
        raise DataError(
            f"Can't write converted tables to {folder}: {error}. Give another folder as `cache`."
        ) from error


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/dsrna/benchmarks``, usually ``~/.cache/dsrna/benchmarks``; a temporary one without a home."""
    return (home_cache() or temporary_cache()) / "benchmarks"


def folder_for(source: Path, cache: Path | None) -> Path:
    """The folder of a source's tables in a cache folder; None: :func:`default_cache`."""
    name = hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:12]
    return (cache or default_cache()) / f"{source.stem}-{name}"


def _store(folder: Path, fingerprints: list[dict[str, Any]], tables: Mapping[str, Table]) -> dict[str, Table]:
    # Names carry the sources' checksum, so that arrays which another process has mapped are never written over.
    stamp = hashlib.sha256("".join(entry["sha256"] for entry in fingerprints).encode()).hexdigest()[:12]
    described: dict[str, Any] = {}
    for name, table in tables.items():
        file = f"{name.replace('/', '.')}.{stamp}.npy"
        write_atomically(folder / file, partial(np.save, arr=table.values))
        axes = [{"name": axis.name, "levels": list(axis.levels)} for axis in table.axes]
        described[name] = {"file": file, "axes": axes}
    index = {"schema": SCHEMA, "version": VERSION, "sources": fingerprints, "tables": described}
    write_json(folder / "index.json", index)
    current = {entry["file"] for entry in described.values()}
    for old in folder.glob("*.npy"):
        if old.name not in current:
            old.unlink(missing_ok=True)
    return _load(folder, index)


def _load(folder: Path, index: dict[str, Any]) -> dict[str, Table]:
    return {
        name: Table(
            tuple(Axis(axis["name"], tuple(axis["levels"])) for axis in entry["axes"]),
            np.load(folder / entry["file"], mmap_mode="r", allow_pickle=False),
        )
        for name, entry in index["tables"].items()
    }


def _read_index(folder: Path) -> dict[str, Any]:
    try:
        index = json.loads((folder / "index.json").read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(index, dict) or (index.get("schema"), index.get("version")) != (SCHEMA, VERSION):
        return {}
    return index


def _stat(source: Path) -> dict[str, Any]:
    found = source.stat()
    return {"name": source.name, "size": found.st_size, "mtime_ns": found.st_mtime_ns}


def _checksum(source: Path) -> str:
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
