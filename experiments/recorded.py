"""Work of experiments that is done once, by whichever process comes first, and recorded as a JSON line each."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsrna.commands import COMMANDS
from dsrna.config.compose import compose_with_hydra
from dsrna.errors import NonFiniteError
from dsrna.json_files import append_line, read_lines
from dsrna.provenance import git_state, this_command
from dsrna.run_folder import RunFolder
from dsrna.run_lock import held_if_free


def names_done(record: Path) -> set[str]:
    """The names of what stands in a record."""
    return {line["name"] for _, line in read_lines(record, dict[str, Any])}


def do_once(about: dict[str, Any], record: Path, work: Callable[[RunFolder], dict[str, Any]]) -> bool:
    """Does it in the run folder of its name beside the record, and writes down what came out.

    Args:
        about: what the line begins with, ``name`` among it.
        record: file of JSON lines.
        work: its result; where weights stop being finite, the line says so instead.

    Returns:
        Whether it is done; not where another process is at it.
    """
    name = about["name"]
    folder = RunFolder(record.parent / name)
    with held_if_free(folder.path) as refusal:
        if refusal is not None:
            return False
        if name in names_done(record):  # by one that ended just now
            return True
        began = time.process_time()
        try:
            found = work(folder)
        except NonFiniteError as error:
            found = {"failed": str(error)}
        git = git_state()
        seconds = round(time.process_time() - began, 1)
        revision = None if git is None else git["revision"]
        append_line(record, {**about, **found, "cpu_seconds": seconds, "revision": revision})
    return True


def run_in(folder: RunFolder, kind: str, overrides: list[str]) -> None:
    """``python -m dsrna.KIND`` in that folder, from where it was."""
    overrides = [*overrides, f"name={folder.path.name}", "resume=auto"]
    config, of_hydra = compose_with_hydra(kind, overrides)
    command = COMMANDS[kind]
    command.run(command.request(command.settings(config), config, of_hydra, folder.path, this_command()))
