"""Means over the seeds of a sweep's jobs that are equal otherwise."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Protocol, TypeVar

from dsrna.report.results import percent

NOT_SETTINGS = ("seed", "name", "out", "resume")
"""Overrides in which the jobs of one group may differ."""


class Job(Protocol):
    """What :class:`dsrna.report.sweep.SweepRow` offers."""

    @property
    def differs(self) -> dict[str, str]: ...
    @property
    def seed(self) -> str | None: ...
    @property
    def threat(self) -> str | None: ...
    @property
    def rehearsal(self) -> bool: ...
    @property
    def averaged(self) -> dict[str, float]: ...


AnyJob = TypeVar("AnyJob", bound=Job)


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (of the sample: divided by n - 1) of a number over seeds; None for one seed."""

    mean: float
    deviation: float | None
    seeds: int


@dataclass(frozen=True)
class MeanRow:
    """Jobs that are equal but for their seeds.

    Attributes:
        settings: override -> value, for those in which groups differ.
        seeds: how many there are.
        rehearsal: whether one of the jobs was.
        numbers: column -> its spread over the jobs that have it.
    """

    settings: dict[str, str]
    seeds: int
    rehearsal: bool
    numbers: dict[str, Spread]


def means_over_seeds(rows: Sequence[Job]) -> list[MeanRow]:
    """One row a group of otherwise equal jobs; none where no group has two seeds. A seed counts once."""
    groups = equal_but_for_seeds([row for row in rows if row.averaged])
    return [_mean_row(jobs) for jobs in groups] if any(len(jobs) > 1 for jobs in groups) else []


def equal_but_for_seeds(rows: Sequence[AnyJob]) -> list[list[AnyJob]]:
    """Groups of jobs that are equal but for their seeds; of each seed the first job."""
    groups: dict[tuple[object, ...], dict[str | None, AnyJob]] = {}
    for row in rows:
        groups.setdefault((row.threat, *sorted(settings_of(row).items())), {}).setdefault(row.seed, row)
    return [list(jobs.values()) for jobs in groups.values()]


def settings_of(job: Job) -> dict[str, str]:
    """Override -> value, for those in which groups may differ."""
    return {key: value for key, value in job.differs.items() if key not in NOT_SETTINGS}


def number_text(column: str, value: float) -> str:
    """An accuracy as per cent; a score, which only an objective can be, as it is."""
    return f"{value:.4g}" if column.startswith("objective ") and "/acc" not in column else percent(value)


def spread_text(column: str, spread: Spread | None, seeds: int) -> str:
    """``66.2 % ± 0.8 %``, and of how many seeds where they aren't all."""
    if spread is None:
        return ""
    text = number_text(column, spread.mean)
    if spread.deviation is not None:
        text += f" \u00b1 {number_text(column, spread.deviation)}"
    return text if spread.seeds == seeds else f"{text} (of {spread.seeds})"


def means_csv(rows: Sequence[MeanRow]) -> str:
    """One line a group: mean, sd and number of seeds of every column."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    keys = list(dict.fromkeys(key for row in rows for key in row.settings))
    columns = list(dict.fromkeys(name for row in rows for name in row.numbers))
    parts = [f"{name}, {part}" for name in columns for part in ("mean", "sd", "seeds")]
    writer.writerow([*keys, "seeds", "rehearsal", *parts])
    for row in rows:
        found = [row.numbers.get(name) for name in columns]
        cells = [cell for one in found for cell in ((one.mean, one.deviation, one.seeds) if one else ("", "", 0))]
        given = [row.settings.get(key, "") for key in keys]
        writer.writerow([*given, row.seeds, "yes" if row.rehearsal else "", *cells])
    return text.getvalue()


def _mean_row(jobs: Sequence[Job]) -> MeanRow:
    columns = dict.fromkeys(name for job in jobs for name in job.averaged)
    return MeanRow(
        settings=settings_of(jobs[0]),
        seeds=len(jobs),
        rehearsal=any(job.rehearsal for job in jobs),
        numbers={name: _spread([job.averaged[name] for job in jobs if name in job.averaged]) for name in columns},
    )


def _spread(values: Sequence[float]) -> Spread:
    return Spread(mean(values), stdev(values) if len(values) > 1 else None, len(values))
