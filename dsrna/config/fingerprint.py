"""What tells one run's settings from another's: all that changes results, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from dsrna.config.settings import RunSettings

CHANGES_NO_RESULT = (
    # What it is called, where it goes, what it shows.
    "name", "out", "resume", "logger", "progress", "trainer.progress", "trainer.checkpoint_minutes",
    "sweep_objective",
    # What the derived cell is compared with, once it is there.
    "search.random_cells", "search.comparison_epochs",
    # Where the images are; which ones they are says their own digest, in run.json.
    "data.root", "data.download",
    # How fast it is. Random starts of an evaluation are drawn by batches: another size draws others, as good as these.
    "workers", "trainer.threads", "trainer.devices", "search.implementation",
    "retrain.torch_compile", "evaluate.torch_compile",
    "evaluate.batch_size", "evaluate.verify.batch_size",
)  # fmt: skip
"""Keys that may differ between a run and its continuation."""


ADDED: dict[str, Any] = {
    "model": None, "model_arguments": None, "checkpoint": None, "normalization": None,
    "evaluate.smoothing": None, "evaluate.spatial": None, "retrain.noise": 0.0, "evaluate.threats": [],
    "evaluate.save_examples": False,
    "trainer.sync_batchnorm": False, "evaluate.attacks.apgd_dlr": None, "evaluate.attacks.square": None,
}  # fmt: skip
"""Keys that came later, with the values at which runs from before them are still found."""


def fingerprint_of(settings: RunSettings, without: Iterable[str] = ()) -> str:
    """Hash of all settings that change results, the same on every machine; ``without`` those that don't here."""
    plain = settings.model_dump()
    for key in (*CHANGES_NO_RESULT, *without):
        _remove(plain, key)
    for key, before in ADDED.items():
        _remove(plain, key, where=before)
    return hashed(json.dumps(plain, sort_keys=True))


def fingerprint_of_all(jobs: Iterable[RunSettings]) -> str:
    """Hash of the settings of all jobs of a multirun."""
    return hashed("".join(fingerprint_of(settings) for settings in jobs))


def _remove(node: Any, key: str, **where: Any) -> None:
    """Takes out a key; given ``where``, only if that is its value."""
    *nodes, last = key.split(".")
    for name in nodes:
        node = node.get(name) if isinstance(node, dict) else None
    if isinstance(node, dict) and all(node.get(last) == value for value in where.values()):
        node.pop(last, None)


def hashed(text: str) -> str:
    """A text's hash, 32 hexadecimal digits."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
