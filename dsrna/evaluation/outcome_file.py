"""Per-image outcomes of one measurement, on disk after every batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dsrna.errors import CheckpointError
from dsrna.files import write_json

SCHEMA = "dsrna.outcomes"
SCHEMA_VERSION = 1


class OutcomeFile:
    """Which images the network got right, in the order of the data set, with a header that says by what.

    The file is JSON: ``{"schema", "version", "header", "outcomes": "0110…", "seconds"}``; the i-th character is 1 where
    image i is classified correctly (under the attack). Fewer characters than images: the measurement was interrupted,
    and goes on behind the last.

    A file of another measurement (other network, data, attack settings, library version, seed or batch size) is
    refused, not overwritten: it may have taken hours.

    Args:
        path: the file; it need not exist.
        header: plain values that identify the measurement.
        images: number of images of the whole measurement.

    Raises:
        CheckpointError: the file is unreadable or belongs to another measurement.
    """

    def __init__(self, path: Path, header: dict[str, Any], images: int) -> None:
        self.path = path
        self.images = images
        self._header = header
        self._outcomes = ""
        self.seconds = 0.0
        if path.exists():
            self._load()

    @property
    def done(self) -> int:
        """How many images have an outcome."""
        return len(self._outcomes)

    @property
    def outcomes(self) -> Tensor:
        """(done,) bool."""
        return torch.tensor([outcome == "1" for outcome in self._outcomes], dtype=torch.bool)

    def append(self, outcomes: Tensor, seconds: float) -> None:
        """Adds the next images' outcomes (N,) and the time they took, and writes the file."""
        self._outcomes += "".join("1" if outcome else "0" for outcome in outcomes.tolist())
        self.seconds += seconds
        write_json(
            self.path,
            {
                "schema": SCHEMA,
                "version": SCHEMA_VERSION,
                "header": self._header,
                "outcomes": self._outcomes,
                "seconds": self.seconds,
            },
        )

    def _load(self) -> None:
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            header, outcomes, seconds = stored["header"], stored["outcomes"], float(stored["seconds"])
            readable = (stored["schema"], stored["version"]) == (SCHEMA, SCHEMA_VERSION)
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{self.path} is not a readable outcome file ({error!r}); delete it to measure again."
            ) from error
        if not readable or not set(outcomes) <= {"0", "1"} or len(outcomes) > self.images:
            raise CheckpointError(
                f"Expected {self.path} to hold at most {self.images} outcomes of {SCHEMA} version {SCHEMA_VERSION}; "
                "it does not. Delete it to measure again."
            )
        differences = [
            f"{name} {header.get(name)!r} there, {value!r} here"
            for name, value in self._header.items()
            if header.get(name) != value
        ]
        if differences:
            raise CheckpointError(
                f"{self.path} belongs to another evaluation: {'; '.join(differences)}. "
                "Evaluate into another folder, or delete the file to measure again."
            )
        self._outcomes, self.seconds = outcomes, seconds
