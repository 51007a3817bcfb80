"""A plan as people read it, and as programs do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from rich.table import Table

from dsrna.planning.run_cost import RunCost
from dsrna.progress import duration
from dsrna.stages.stage_cost import CostRange

SCHEMA, VERSION = "dsrna.plan", 1


def size(count: float) -> str:
    """Bytes for people.

    >>> size(900), size(1_234_567), size(23_456_000_000)
    ('0.9 kB', '1.2 MB', '23 GB')
    """
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if count >= unit:
            return f"{count / unit:.2g} {name}" if count < 100 * unit else f"{count / unit:.0f} {name}"
    return f"{count / 1e3:.1f} kB"


def between(value: CostRange, written: Callable[[float], str]) -> str:
    """The expected value, and the range where that is written otherwise.

    >>> between(CostRange(60, 90, 3600), duration), between(CostRange(60, 60.1, 60.2), duration)
    ('2 min (1 min to 1 h 0 min)', '1 min')
    """
    low, expected, high = (written(each) for each in (value.low, value.expected, value.high))
    return expected if low == expected == high else f"{expected} ({low} to {high})"


def table_of(cost: RunCost) -> Table:
    """Stage by stage, then the whole."""
    table = Table(show_header=True, box=None, pad_edge=False)
    for column in ("stage", "time", "memory", "disk"):
        table.add_column(column, overflow="fold")
    table.add_row("start", duration(cost.started), "", "")
    for name, stage in cost.stages.items():
        memory = between(stage.memory, size) if stage.memory.high else ""
        table.add_row(name, between(stage.seconds, duration), memory, between(stage.disk, size))
    whole = between(cost.seconds, duration), between(cost.memory, size), between(cost.disk, size)
    table.add_row("whole", *whole, style="bold")
    return table


def lacking(cost: RunCost, memory: int | None, disk: int, where: str) -> list[str]:
    """What this machine may not have enough of."""
    found = []
    for what, wanted, there in (("memory", cost.memory, memory), ("disk", cost.disk, disk)):
        if there is not None and wanted.high > there:
            verb = "may need" if wanted.expected <= there else "needs"
            free = f"{size(there)} are free{where if what == 'disk' else ''}"
            found.append(f"{what}: the run {verb} {size(wanted.high)}, {free}")
    return found


def document(cost: RunCost) -> dict[str, Any]:
    """The same for programs: seconds and bytes."""
    whole = {"seconds": asdict(cost.seconds), "memory": asdict(cost.memory), "disk": asdict(cost.disk)}
    stages = {name: asdict(stage) for name, stage in cost.stages.items()}
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "start": cost.started,
        "share": cost.share,
        "stages": stages,
        "whole": whole,
    }
