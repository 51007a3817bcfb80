"""A measurement's file, from which an interrupted measurement goes on."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from dsrna.errors import CheckpointError
from dsrna.files import write_json

_BATCH_SIZE = "batch_size"


class ResumableFile(ABC):
    """Results of the first images of a data set, with a header that says by what they were got.

    The file is JSON: ``{"schema", "version", "header", …, "seconds"}``. Fewer results than images: the measurement was
    interrupted, and goes on behind the last.

    A file of another measurement (other network, data, settings, library version or seed) is refused, not overwritten:
    it may have taken hours. Batches of another size have other random starts, which are as good: what was finished with
    them counts, what was not is measured again from its first image.

    Args:
        path: the file; it need not exist.
        header: plain values that identify the measurement.
        images: number of images of the whole measurement.

    Raises:
        CheckpointError: the file is unreadable or belongs to another measurement.

    Attributes:
        schema: name of the format; ``schema_version`` its version.
    """

    schema: ClassVar[str]
    schema_version: ClassVar[int] = 1

    def __init__(self, path: Path, header: dict[str, Any], images: int) -> None:
        self.path = path
        self.images = images
        self._header = header
        self.seconds = 0.0
        if path.exists():
            self._load()

    @property
    @abstractmethod
    def done(self) -> int:
        """How many images have a result."""

    @abstractmethod
    def content(self) -> dict[str, Any]:
        """The results, as plain values."""

    @abstractmethod
    def restore(self, content: dict[str, Any]) -> bool:
        """Takes over what :meth:`content` gave.

        Returns:
            Whether it makes sense; a ValueError, KeyError or TypeError means no as well.
        """

    def save(self, seconds: float) -> None:
        """Writes the file after ``seconds`` more of measuring."""
        self.seconds += seconds
        document = {"schema": self.schema, "version": self.schema_version, "header": self._header}
        write_json(self.path, document | self.content() | {"seconds": self.seconds})

    def _load(self) -> None:
        nothing = self.content()
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            header, self.seconds = dict(stored["header"]), float(stored["seconds"])
            readable = (stored["schema"], stored["version"]) == (self.schema, self.schema_version)
            readable = readable and self.restore(stored)
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{self.path} is not a readable result file ({error!r}). Bring it back whole, or move it away to "
                "measure again."
            ) from error
        if not readable or self.done > self.images:
            raise CheckpointError(
                f"Expected {self.path} to hold at most {self.images} results of {self.schema} version "
                f"{self.schema_version}; it does not. Move it away to measure again."
            )
        differences = [
            f"{name} {header.get(name)!r} there, {value!r} here"
            for name, value in self._header.items()
            if header.get(name) != value and name != _BATCH_SIZE
        ]
        if differences:
            raise CheckpointError(
                f"{self.path} belongs to another evaluation: {'; '.join(differences)}. "
                "Evaluate into another folder, or move the file away to measure again."
            )
        if self.done < self.images and header.get(_BATCH_SIZE) != self._header.get(_BATCH_SIZE):
            self.restore(nothing)
            self.seconds = 0.0
