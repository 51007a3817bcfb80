"""`dsrna plan [COMMAND] OVERRIDES`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from dsrna.config.compose import compose_with_hydra
from dsrna.console import echo, output
from dsrna.errors import ConfigError
from dsrna.files import write_json
from dsrna.peak_memory import available_memory
from dsrna.planning.run_cost import RunCost, cost_of_run
from dsrna.planning.text import between, document, lacking, size, table_of
from dsrna.progress import duration
from dsrna.runs.command import Command
from dsrna.runs.replay import replay
from dsrna.training.fit import device_name, device_of

_BUSY = 0.9
_STAGES = "dsrna.stages.run:STAGES"


def plan(command: Command[Any], overrides: list[str], json: Path | None) -> RunCost:
    """Rehearses a run, prints what it will cost, and how that is known.

    Args:
        command: search, retrain or evaluate.
        overrides: as on its command line.
        json: a file that the numbers are written to as well.

    Raises:
        ConfigError: the command has no stages that can be rehearsed.
        DsrnaError: the run would be refused.
    """
    if command.program != _STAGES:
        instead = ": add rehearsal=only to its own command line" if command.name == "compare" else ""
        raise ConfigError(f"`dsrna plan` rehearses search, retrain and evaluate, not {command.name}{instead}.")
    config, of_hydra = compose_with_hydra(command.name, replay(command.name, overrides))
    settings = command.settings(config)
    cost = cost_of_run(command.request(settings, config, of_hydra, Path(settings.out) / settings.name, ""))
    device, out = device_of(settings.trainer.accelerator), _there(Path(settings.out))
    memory, disk = available_memory(device), shutil.disk_usage(out).free
    console = output()
    console.print(table_of(cost))
    room = [f"{size(memory)} of memory are free" if memory else "", f"{size(disk)} of disk at {out}"]
    console.print(f"on {device_name(device)}; {', '.join(filter(None, room))}", soft_wrap=True)
    for name, stage in cost.stages.items():
        for note in stage.notes:
            console.print(f"{name}: {note}", soft_wrap=True)
    if settings.trainer.devices > 1:
        console.print(f"All of it as one process has it, of {settings.trainer.devices}.", soft_wrap=True)
    if cost.share < _BUSY:
        slower = between(cost.seconds * (1 / cost.share), duration)
        console.print(
            f"Other programs hold the CPU: this one had {cost.share:.0%} of a core. As long as that stays so, the "
            f"whole takes {slower}.",
            soft_wrap=True,
        )
    for line in lacking(cost, memory, disk, f" at {out}"):
        console.print(f"[warning] {line}", style="yellow", soft_wrap=True)
    if json is not None:
        write_json(json, document(cost) | {"device": device_name(device), "command": command.name})
        echo(f"plan: {json}")
    return cost


def _there(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir())
