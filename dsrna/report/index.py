"""A page that lists the runs of a folder, with their state and results."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsrna.errors import CheckpointError, DsrnaError
from dsrna.files import write_text, writing_to
from dsrna.report.results import percent, strongest, threat_text
from dsrna.report.templates import render, script
from dsrna.run_folder import RunFolder

PAGES = ("report.html", "table.html", "sweep.html")
"""What a run's line links to: the first that there is."""


@dataclass(frozen=True)
class IndexRow:
    """One run.

    Attributes:
        name: its folder, relative to the listed one.
        page: the page that its line links to, relative; None where there is none.
        kind, created: of the run.
        state: ``done``, or the first stage that isn't and how it is, or why the folder can't be read.
        rehearsal: whether nobody may quote its numbers.
        seconds: spent on all stages so far.
        threat: of its accuracies; empty where none was measured.
        clean, robust: accuracies on the test split, the latter under the strongest attack; None where not measured.
        parameters: of the network.
    """

    name: str
    page: str | None
    kind: str = ""
    created: str = ""
    state: str = ""
    rehearsal: bool = False
    seconds: float = 0.0
    threat: str = ""
    clean: float | None = None
    robust: float | None = None
    parameters: int | None = None


def write_index(folder: Path) -> Path:
    """Writes ``index.html``, newest runs first. The jobs of a multirun are listed, those inside of one run are not.

    Returns:
        The page.

    Raises:
        CheckpointError: there is no run in the folder.
        ConfigError: it can't be written to.
    """
    rows = sorted((_row(path, folder) for path in run_folders(folder)), key=lambda row: row.created, reverse=True)
    if not rows:
        raise CheckpointError(f"Expected run folders in {folder}, found none. Give the folder that they lie in.")
    sorting = script("sorting.js")
    page = render(
        "index.html",
        name=folder.resolve().name,
        rows=rows,
        percent=percent,
        sorting=sorting,
        sorting_hash=base64.b64encode(hashlib.sha256(sorting.encode()).digest()).decode(),
    )
    with writing_to(folder):
        write_text(folder / "index.html", page)
    return folder / "index.html"


def run_folders(folder: Path) -> Iterator[Path]:
    """The run folders in a folder, and in those of multiruns in it."""
    for child in sorted(path for path in folder.iterdir() if path.is_dir()):
        if (child / "run.json").exists():
            yield child
        else:
            yield from sorted(found.parent for found in child.glob("*/run.json"))


def _row(path: Path, folder: Path) -> IndexRow:
    run_folder, name = RunFolder(path), path.relative_to(folder).as_posix()
    page = next((f"{name}/{page}" for page in PAGES if (path / page).is_file()), None)
    try:
        run, evaluation = run_folder.read_run(), run_folder.read_evaluation()
    except DsrnaError as error:
        return IndexRow(name, page, state=f"unreadable: {error}")
    stages = run["stages"]
    return IndexRow(
        name=name,
        page=page,
        kind=run["kind"],
        created=run["created"],
        state=next((f"{key} {stage['state']}" for key, stage in stages.items() if stage["state"] != "done"), "done"),
        rehearsal=run_folder.is_rehearsal,
        seconds=sum(stage.get("seconds", 0.0) for stage in stages.values()),
        **({} if evaluation is None else _numbers(evaluation)),
    )


def _numbers(evaluation: dict[str, Any]) -> dict[str, Any]:
    stage = next(iter(evaluation["networks"]))
    network, worst = evaluation["networks"][stage], strongest(evaluation, stage)
    return {
        "threat": threat_text(**evaluation["threat"]),
        "clean": network["result"]["clean"]["accuracy"],
        "robust": None if worst is None else worst["accuracy"],
        "parameters": network["parameters"],
    }
