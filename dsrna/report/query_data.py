"""What the run folder of searches by queries holds, for its report, and how its numbers are written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsrna import query_documents
from dsrna.json_files import read_document
from dsrna.run_folder import RunFolder

OBJECTIVES = "objectives"


@dataclass(frozen=True)
class QueryData:
    """Finished searches.

    Attributes:
        folder: where they lie.
        run: ``run.json``.
        document: ``query.json``.
    """

    folder: RunFolder
    run: dict[str, Any]
    document: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> QueryData:
        """Reads a run folder.

        Raises:
            CheckpointError: it isn't the folder of finished searches, or a file in it is damaged.
        """
        folder = RunFolder.open(path)
        return cls(folder, folder.read_run(), read_document(folder.query_json, "dsrna.query", 1, query_documents.Query))

    @property
    def methods(self) -> list[str]:
        """Methods for one objective."""
        return list(dict.fromkeys(entry["method"] for entry in self.document["searches"]))

    @property
    def guides(self) -> list[str]:
        """What guided them."""
        return list(dict.fromkeys(entry["guide"] for entry in self.document["searches"]))

    def search(self, method: str, guide: str) -> dict[str, Any]:
        """The searches of one method by one guide."""
        found: dict[str, Any] = next(
            entry for entry in self.document["searches"] if (entry["method"], entry["guide"]) == (method, guide)
        )
        return found


def number_text(value: float, kind: str) -> str:
    """An accuracy as per cent, a size in millions, another number as it is.

    >>> number_text(0.4811, "accuracy"), number_text(-1_531_546, "size"), number_text(12.3456, "proxy")
    ('48.11', '1.53', '12.35')
    """
    scaled = shown(value, kind)
    return f"{scaled:.2f}" if kind != "proxy" or 0.1 <= abs(scaled) < 1e5 or scaled == 0 else f"{scaled:.3g}"


def spread_text(spread: dict[str, float] | None, kind: str) -> str:
    """``47.10 ± 0.30``, or ``none``."""
    if spread is None:
        return "none"
    deviation = number_text(spread["std"], kind).removeprefix("-")
    return f"{number_text(spread['mean'], kind)} ± {deviation}"


def shown(value: float, kind: str) -> float:
    """The number in the unit of the report: per cent, millions, or its own."""
    if kind == "accuracy":
        return 100 * value
    return -value / 1e6 if kind == "size" else value


def axis_text(name: str, kind: str) -> str:
    """A column's name with its unit."""
    return name + {"accuracy": ", %", "size": ", millions"}.get(kind, "")
