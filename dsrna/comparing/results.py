"""What came out of a comparison: a plain document, from which statistics and pages are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dsrna.conforming import misfit
from dsrna.errors import CheckpointError
from dsrna.files import write_json, writing_to
from dsrna.json_files import RESTORE, read_document

SCHEMA = "dsrna.comparison"
VERSION = 1
FILE = "comparison.json"


@dataclass(frozen=True)
class Trained:
    """One trained and evaluated network.

    Attributes:
        cell: digest of its architecture.
        seed: of its training.
        accuracies: label -> accuracy on the test split in [0, 1]; ``clean``, each attack in the threat model.
        robust: in the worst case over the attacks.
        standing, right: of each test image whether it withstood all attacks that looked at it, and whether it is right
            without any, ``"0110…"``.
        images: which ones these are; outcomes of networks with the same are of the same images.
        seconds: of its training, wall-clock.
        folder: where it was evaluated, relative to the document's folder or absolute.
    """

    cell: str
    seed: int
    accuracies: dict[str, float]
    robust: float
    standing: str
    right: str
    images: str
    seconds: float | None
    folder: str

    @property
    def clean(self) -> float:
        return self.accuracies["clean"]


@dataclass(frozen=True)
class CellCost:
    """What the network of a cell costs.

    Attributes:
        parameters: number of parameters.
        multiply_adds: of one image.
        latency: batch size -> milliseconds of a forward pass, as text keys; on ``device``.
        device: where that was measured.
    """

    parameters: int
    multiply_adds: int
    latency: dict[str, float] = field(default_factory=dict)
    device: str = ""


@dataclass(frozen=True)
class Found:
    """A cell of a row.

    Attributes:
        number: seed of the search that found it, or number of the random cell.
        cell: its digest; None where it isn't known yet.
        seconds: of the search, wall-clock; None where there was none.
    """

    number: int
    cell: str | None
    seconds: float | None


@dataclass(frozen=True)
class RowResults:
    """A method.

    Attributes:
        name: of the row.
        kind: ``search``, ``published``, ``random``, ``model`` (a network without cells), or ``run``: its cells are
            those of finished runs, each trained from its own seed alone.
        about: what it is, in words.
        found: its cells, one a search seed.
    """

    name: str
    kind: str
    about: str
    found: list[Found]


@dataclass(frozen=True)
class Results:
    """All that a table is made of.

    Attributes:
        name: of the comparison.
        data: one phrase about the images.
        threat: norm and eps.
        rehearsal: whether nobody may quote its numbers.
        recipe: how all networks were trained, in words.
        rows: in order.
        seeds: training seeds that every cell is to be trained from.
        reference: name of the row that others are compared with.
        costs: cell -> what its network costs.
        trained: all networks.
        failures: label of a job -> why it failed.
        transfer: see :func:`dsrna.comparing.transfer.transfer_matrix`; None: not measured.
    """

    name: str
    data: str
    threat: dict[str, Any]
    rehearsal: bool
    recipe: str
    rows: list[RowResults]
    seeds: list[int]
    reference: str
    costs: dict[str, CellCost]
    trained: list[Trained]
    failures: dict[str, str] = field(default_factory=dict)
    transfer: dict[str, Any] | None = None

    def networks(self, row: RowResults) -> dict[str, list[Trained]]:
        """Cell -> its trained networks, of a row's cells that have any."""
        cells = dict.fromkeys(found.cell for found in row.found if found.cell is not None)
        every = {cell: [one for one in self.trained if one.cell == cell and one.seed in self.seeds] for cell in cells}
        return {cell: sorted(of, key=lambda one: one.seed) for cell, of in every.items() if of}

    def missing(self, row: RowResults) -> int:
        """How many of a row's runs are not done; of finished runs all are."""
        if row.kind == "run":
            return 0
        done = {(one.cell, one.seed) for one in self.trained}
        return sum((found.cell, seed) not in done for found in row.found for seed in self.seeds)

    def save(self, folder: Path) -> None:
        """Writes ``comparison.json``."""
        with writing_to(folder):
            write_json(folder / FILE, {"schema": SCHEMA, "version": VERSION, **asdict(self)})

    @classmethod
    def load(cls, folder: Path) -> Results:
        """Reads it.

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        path = folder / FILE
        stored = {key: value for key, value in read_document(path, SCHEMA, VERSION).items() if key not in _HEADER}
        try:
            found = cls(
                **stored
                | {
                    "rows": [_row(row) for row in stored["rows"]],
                    "costs": {cell: CellCost(**cost) for cell, cost in stored["costs"].items()},
                    "trained": [Trained(**one) for one in stored["trained"]],
                }
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(f"Expected the results of a comparison in {path}: {error}. {RESTORE}") from error
        values: list[Trained | CellCost] = [*found.trained, *found.costs.values()]
        for one in values:
            _check(one, path)
        return found


def outcomes(networks: Sequence[Trained], key: str) -> np.ndarray | None:
    """(networks, M) bool, ``standing`` or ``right`` of each; None where they aren't of the same images."""
    texts = [getattr(one, key) for one in networks]
    if len({(one.images, len(text)) for one, text in zip(networks, texts, strict=True)}) != 1:
        return None
    return np.array([[outcome == "1" for outcome in text] for text in texts])


_HEADER = ("schema", "version")


def _row(stored: dict[str, Any]) -> RowResults:
    return RowResults(**stored | {"found": [Found(**found) for found in stored["found"]]})


def _check(value: Trained | CellCost, path: Path) -> None:
    for name, hint in {
        "parameters": int,
        "multiply_adds": int,
        "accuracies": dict[str, float],
        "robust": float,
    }.items():
        wrong = misfit(getattr(value, name), hint) if hasattr(value, name) else None
        if wrong is not None:
            raise CheckpointError(f"{path}: {wrong[1]}, at {name}. {RESTORE}")
