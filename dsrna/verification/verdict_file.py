"""Per-image verdicts, on disk after every batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dsrna.evaluation.resumable_file import ResumableFile
from dsrna.verification.verdict import Verdict


class VerdictFile(ResumableFile):
    """The verdicts on the first images of a data set, in its order, under the key ``"verdicts"``."""

    schema = "dsrna.verdicts"

    def __init__(self, path: Path, header: dict[str, Any], images: int) -> None:
        self.verdicts: list[Verdict] = []
        super().__init__(path, header, images)

    @property
    def done(self) -> int:
        return len(self.verdicts)

    def append(self, verdicts: Sequence[Verdict], seconds: float) -> None:
        """Adds the next images' verdicts and the time they took, and writes the file."""
        self.verdicts += verdicts
        self.save(seconds)

    def content(self) -> dict[str, Any]:
        return {"verdicts": [asdict(verdict) for verdict in self.verdicts]}

    def restore(self, content: dict[str, Any]) -> bool:
        self.verdicts = [Verdict(**one) for one in content["verdicts"]]
        return True
