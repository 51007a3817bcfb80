"""Whether two runs ended the same, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dsrna.json_files import read_json
from dsrna.run_folder import RunFolder

_TIMES = ("seconds",)
"""Keys, and endings of keys, under which a run notes how long something took."""

_LEFT_OUT = ("loops", "digest")
"""Lightning's counters, some of which start anew in every process, and digests of checkpoints, which cover times."""


def differences(first: RunFolder, second: RunFolder) -> list[str]:
    """Where the results of two runs differ; empty where checkpoints, records and outcomes are equal bit for bit.

    Compared are all checkpoints, ``metrics.jsonl``, and every JSON file but ``run.json`` and ``overrides.yaml``; times
    are left out.

    Args:
        first, second: the run folders.

    Returns:
        One line a difference: the file, the place in it, and both values.
    """
    found: list[str] = []
    names = _results(first) | _results(second)
    for name in sorted(names):
        one, other = first.path / name, second.path / name
        if one.exists() and other.exists():
            found += _different(_read(one), _read(other), name)
        else:
            found.append(f"{name}: only in {(first if one.exists() else second).path}")
    return found + list(_different(first.read_metrics(), second.read_metrics(), "metrics.jsonl"))


def _results(folder: RunFolder) -> set[str]:
    files = [*folder.path.rglob("*.ckpt"), *folder.path.rglob("*.json")]
    return {str(file.relative_to(folder.path)) for file in files if file != folder.run_json}


def _read(path: Path) -> Any:
    return torch.load(path, weights_only=True) if path.suffix == ".ckpt" else read_json(path)


def _different(one: Any, other: Any, place: str) -> Iterator[str]:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        if one.dtype != other.dtype or not torch.equal(one, other):
            yield f"{place}: tensors"
    elif isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys(), key=str):
            if str(key).endswith(_TIMES) or key in _LEFT_OUT:
                continue
            if key in one and key in other:
                yield from _different(one[key], other[key], f"{place}: {key}")
            else:
                yield f"{place}: {key} is only in one"
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from _different(*pair, f"{place}[{index}]")
    elif one != other:
        yield f"{place}: {one!r:.80} and {other!r:.80}"
