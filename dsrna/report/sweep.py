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
from dsrna.files import write_text, writing_to
from dsrna.report.agreement import Agreement, SearchedCell, agreement
from dsrna.report.published import headline_rows, published_name
from dsrna.report.results import hundredths, threat_text
from dsrna.report.run_data import RunData
from dsrna.report.sweep_means import (
    equal_but_for_seeds,
    means_csv,
    means_over_seeds,
    number_text,
    settings_of,
    spread_text,
)
from dsrna.report.templates import render
from dsrna.run_folder import RunFolder


@dataclass(frozen=True)
class SweepRow:
    """One job.

    Attributes:
        job: name of its folder.
        differs: override -> its value, for those in which the jobs of the table differ.
        seed: of the job.
        threat: the threat model of its accuracies; None where none was measured.
        numbers: column -> accuracy on the test split in [0, 1], ``clean`` and one an attack, of the retrained network;
            ``objective NAME`` is what a sweep maximises.
        parameters: number of parameters of that network.
        published: what the published tables say of the derived architecture: column -> row of ``verdict.json``.
        rehearsal: whether nobody may quote its numbers.
        state: ``done``, or the first stage that isn't and how it is.
        report: its report.html, relative to the sweep's folder; None when there is none.
        cell: what its search derived; None where it did not get there.
    """

    job: str
    differs: dict[str, str]
    seed: str | None
    threat: str | None
    numbers: dict[str, float]
    parameters: int | None
    published: dict[str, dict[str, Any]]
    rehearsal: bool
    state: str
    report: str | None
    cell: SearchedCell | None = None

    @property
    def averaged(self) -> dict[str, float]:
        """Everything of which a mean over seeds says something."""
        looked_up = {f"published {name}": row["accuracy"] for name, row in self.published.items()}
        return self.numbers | looked_up


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
            seed=data.setting("seed"),
            rehearsal=data.is_rehearsal,
            state=_state(data.run["stages"]),
            report=f"{folder.path.name}/{folder.report_html.name}" if folder.report_html.is_file() else None,
            published={published_name(row): row for row in headline_rows(data.verdict)} if data.verdict else {},
            cell=SearchedCell.of(data.architecture, data.genotype) if data.architecture and data.genotype else None,
            **_numbers(data),
        )
        for folder, data, given in zip(run_folders, runs, overrides, strict=True)
    ]


def write_sweep_report(sweep_folder: Path) -> Path:
    """Writes ``sweep.html``, ``sweep.csv`` and ``sweep_means.csv`` over the run folders in ``sweep_folder``.

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
    columns = list(dict.fromkeys(name for row in rows for name in row.numbers))
    published = list(dict.fromkeys(name for row in rows for name in row.published))
    means = means_over_seeds(rows)
    page = sweep_folder / "sweep.html"
    with writing_to(sweep_folder):
        write_text(sweep_folder / "sweep.csv", _csv(rows, keys, columns, published))
        write_text(sweep_folder / "sweep_means.csv", means_csv(means))
        write_text(
            page,
            render(
                "sweep.html",
                name=sweep_folder.resolve().name,
                rows=rows,
                keys=keys,
                columns=columns,
                published=published,
                agreements=_agreements(rows),
                means=means,
                means_keys=list(dict.fromkeys(key for row in means for key in row.settings)),
                means_columns=list(dict.fromkeys(name for row in means for name in row.numbers)),
                threats=list(dict.fromkeys(row.threat for row in rows if row.threat)),
                number=number_text,
                spread=spread_text,
                hundredths=hundredths,
            ),
        )
    return page


def _agreements(rows: Sequence[SweepRow]) -> list[tuple[str, Agreement]]:
    """Settings and agreement of each group of searches that are equal but for their seeds."""
    found = []
    for jobs in equal_but_for_seeds([row for row in rows if row.cell is not None]):
        agreed = agreement([job.cell for job in jobs if job.cell is not None])
        if agreed is not None:
            found.append((", ".join(f"{key}={value}" for key, value in settings_of(jobs[0]).items()), agreed))
    return found


def _csv(rows: Sequence[SweepRow], keys: Sequence[str], columns: Sequence[str], published: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    numbers = ("accuracy", "rank", "regret")
    looked_up = [f"{name}, {number}" for name in published for number in numbers]
    writer.writerow(["job", *keys, "threat", *columns, "parameters", *looked_up, "rehearsal", "state"])
    for row in rows:
        given = [row.differs.get(key, "") for key in keys]
        found = [row.published.get(name, {}).get(number) for name in published for number in numbers]
        measured = [row.numbers.get(name) for name in columns]
        writer.writerow(
            [row.job, *given, row.threat, *measured, row.parameters, *found, "yes" if row.rehearsal else "", row.state]
        )
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


def _numbers(data: RunData) -> dict[str, Any]:
    evaluation, maximised = data.evaluation, data.run.get("objective")
    numbers = {} if maximised is None else {f"objective {maximised['name']}": maximised["value"]}
    if evaluation is None:
        return {"threat": None, "numbers": numbers, "parameters": None}
    networks = evaluation["networks"]
    network = networks.get("retrain") or next(iter(networks.values()))
    clean, threat = network["result"]["clean"], evaluation["threat"]
    numbers["clean"] = clean["accuracy"]
    for record in network["result"]["records"]:
        name = record["label"]
        if (record["norm"], record["eps"]) != (threat["norm"], threat["eps"]):
            name += f", {threat_text(record['norm'], record['eps'])}"
        if record["images"] < clean["images"]:
            name += f", first {record['images']:,} images"
        numbers[name] = record["accuracy"]
    return {"threat": threat_text(**threat), "numbers": numbers, "parameters": network["parameters"]}


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts job 2 before job 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]
