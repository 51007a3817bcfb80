"""A table over the jobs of a multirun."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsrna.errors import CheckpointError
from dsrna.files import write_text
from dsrna.report.published import headline_rows, published_name
from dsrna.report.results import hundredths, percent
from dsrna.report.run_data import RunData
from dsrna.report.templates import render
from dsrna.run_folder import RunFolder, writing_to


@dataclass(frozen=True)
class SweepRow:
    """One job.

    Attributes:
        job: name of its folder.
        differs: override -> its value, for those in which the jobs of the table differ.
        clean, pgd20, autoattack: accuracies of the retrained network in [0, 1]; None where not measured.
        parameters: number of parameters of that network.
        published: what the published tables say of the derived architecture: column -> row of ``verdict.json``.
        state: ``done``, or the first stage that isn't and how it is.
        report: its report.html, relative to the sweep's folder; None when there is none.
    """

    job: str
    differs: dict[str, str]
    clean: float | None
    pgd20: float | None
    autoattack: float | None
    parameters: int | None
    published: dict[str, dict[str, Any]]
    state: str
    report: str | None


def sweep_table(folders: Sequence[Path]) -> list[SweepRow]:
    """One row a run folder, in the given order. Raises CheckpointError when one of them is no run folder."""
    run_folders = [RunFolder.open(Path(folder)) for folder in folders]
    runs = [RunData.read(folder) for folder in run_folders]
    overrides = [_by_key(data.overrides) for data in runs]
    keys = dict.fromkeys(key for given in overrides for key in given)
    differing = [key for key in keys if len({given.get(key) for given in overrides}) > 1]
    return [
        SweepRow(
            job=folder.path.name,
            differs={key: given[key] for key in differing if key in given},
            state=_state(data.run["stages"]),
            report=f"{folder.path.name}/{folder.report_html.name}" if folder.report_html.is_file() else None,
            published={published_name(row): row for row in headline_rows(data.verdict)} if data.verdict else {},
            **_numbers(data.evaluation),
        )
        for folder, data, given in zip(run_folders, runs, overrides, strict=True)
    ]


def write_sweep_report(sweep_folder: Path) -> Path:
    """Writes ``sweep.html`` and ``sweep.csv`` over the run folders in ``sweep_folder``.

    Returns:
        ``sweep.html``.

    Raises:
        CheckpointError: there is no run folder in it, or one is damaged.
        ConfigError: ``sweep_folder`` can't be written to.
    """
    sweep_folder = Path(sweep_folder)
    folders = sorted((found.parent for found in sweep_folder.glob("*/run.json")), key=_natural)
    if not folders:
        raise CheckpointError(f"Expected run folders in {sweep_folder}, found none. Give the folder of a multirun.")
    rows = sweep_table(folders)
    keys = list(dict.fromkeys(key for row in rows for key in row.differs))
    published = list(dict.fromkeys(name for row in rows for name in row.published))
    page = sweep_folder / "sweep.html"
    with writing_to(sweep_folder):
        write_text(sweep_folder / "sweep.csv", _csv(rows, keys, published))
        write_text(
            page,
            render(
                "sweep.html",
                name=sweep_folder.resolve().name,
                rows=rows,
                keys=keys,
                published=published,
                evaluated=any(row.clean is not None for row in rows) or not published,
                percent=lambda value: "" if value is None else percent(value),
                hundredths=hundredths,
            ),
        )
    return page


def _csv(rows: Sequence[SweepRow], keys: Sequence[str], published: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    numbers = ("accuracy", "rank", "regret")
    looked_up = [f"{name}, {number}" for name in published for number in numbers]
    writer.writerow(["job", *keys, "clean", "pgd20", "autoattack", "parameters", *looked_up, "state"])
    for row in rows:
        given = [row.differs.get(key, "") for key in keys]
        found = [row.published.get(name, {}).get(number) for name in published for number in numbers]
        writer.writerow([row.job, *given, row.clean, row.pgd20, row.autoattack, row.parameters, *found, row.state])
    return text.getvalue()


def _by_key(overrides: Sequence[str]) -> dict[str, str]:
    """``["+a=1", "~b"]`` -> ``{"a": "1", "b": "removed"}``; a key given twice has the last value, as in Hydra."""
    found = {}
    for override in overrides:
        key, equals, value = override.partition("=")
        found[key.lstrip("+~")] = "removed" if key.startswith("~") or not equals else value
    return found


def _state(stages: dict[str, dict[str, Any]]) -> str:
    return next((f"{name} {stage['state']}" for name, stage in stages.items() if stage["state"] != "done"), "done")


def _numbers(evaluation: dict[str, Any] | None) -> dict[str, Any]:
    if evaluation is None:
        return dict.fromkeys(("clean", "pgd20", "autoattack", "parameters"))
    networks = evaluation["networks"]
    network = networks.get("retrain") or next(iter(networks.values()))
    attacked = {record["attack"]: record["accuracy"] for record in network["result"]["records"]}
    return {
        "clean": network["result"]["clean"]["accuracy"],
        "pgd20": attacked.get("pgd20"),
        "autoattack": attacked.get("autoattack"),
        "parameters": network["parameters"],
    }


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts job 2 before job 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]
