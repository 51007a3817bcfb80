"""Per-image outcomes of one measurement, on disk after every batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dsrna.evaluation.resumable_file import ResumableFile
from dsrna.types import Threat


def outcome_name(attack: str, threat: Threat, repeat: int = 0) -> str:
    """The name, without its ending, of an attack's file in the folder of an evaluation.

    >>> outcome_name("pgd20", Threat("linf", 0.1)), outcome_name("pgd20", Threat("linf", 0.1), 2)
    ('pgd20_linf_0.1', 'pgd20_linf_0.1_repeat2')
    """
    return f"{attack}_{threat.norm}_{threat.eps:.6g}" + (f"_repeat{repeat}" if repeat else "")


class OutcomeFile(ResumableFile):
    """Which images the network got right, in the order of the data set.

    Its own key is ``"outcomes": "0110…"``; the i-th character is 1 where image i is classified correctly (under the
    attack).
    """

    schema = "dsrna.outcomes"

    def __init__(self, path: Path, header: dict[str, Any], images: int) -> None:
        self._outcomes = ""
        super().__init__(path, header, images)

    @property
    def done(self) -> int:
        return len(self._outcomes)

    @property
    def outcomes(self) -> Tensor:
        """(done,) bool."""
        return torch.tensor([outcome == "1" for outcome in self._outcomes], dtype=torch.bool)

    def append(self, outcomes: Tensor, seconds: float) -> None:
        """Adds the next images' outcomes (N,) and the time they took, and writes the file."""
        self._outcomes += "".join("1" if outcome else "0" for outcome in outcomes.tolist())
        self.save(seconds)

    def content(self) -> dict[str, Any]:
        return {"outcomes": self._outcomes}

    def restore(self, content: dict[str, Any]) -> bool:
        self._outcomes = content["outcomes"]
        return set(self._outcomes) <= {"0", "1"}
