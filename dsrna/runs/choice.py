"""The folder of a run or of a multirun: the unfinished one to go on with, or a new one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from dsrna.config.fingerprint import fingerprint_of, fingerprint_of_all
from dsrna.config.settings import RunSettings
from dsrna.errors import ConfigError, DsrnaError
from dsrna.run_folder import RunFolder
from dsrna.runs.sweep import Sweep


def choose_folder(every: Sequence[RunSettings], jobs: list[list[str]], multirun: bool, shared: bool = False) -> Path:
    """The folder to run in. A new one is made, and for a multirun described.

    Args:
        every: the settings of each job.
        jobs: their overrides.
        multirun: whether there may be several.
        shared: whether one job's folder is known by its name alone, so that others find it, too.

    Raises:
        ConfigError: none can be made.
    """
    first = every[0]
    if shared and not multirun:
        return Path(first.out) / first.name
    fingerprint = fingerprint_of_all(every) if multirun else fingerprint_of(first)
    out = Path(first.out)
    folder = _to_go_on_with(out, fingerprint, multirun) if first.resume == "auto" else None
    if folder is None:
        folder = _new_folder(out, f"{first.name}_sweep" if multirun else first.name, fingerprint)
        if multirun:
            Sweep(folder).describe(fingerprint, jobs)
    return folder


def _new_folder(out: Path, label: str, fingerprint: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y-%m-%d_%H-%M-%SZ")
    for attempt in range(100):
        suffix = f"-{attempt}" if attempt else ""
        folder = out / f"{stamp}{suffix}_{label}_{fingerprint[:8]}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise ConfigError(
                f"Can't make a run folder in {out}: {error.strerror}. Choose another folder with out=FOLDER. "
                "(conf: out)"
            ) from error
        return folder
    raise ConfigError(f"Can't find a free folder name in {out}. (conf: out)")


def _to_go_on_with(out: Path, fingerprint: str, multirun: bool) -> Path | None:
    """The newest unfinished folder of the same settings, else the newest finished one, where nothing is left to do."""
    found = []
    for folder in out.glob(f"*_{fingerprint[:8]}"):
        try:
            known, created, finished = _sweep_says(folder) if multirun else _run_says(folder)
        except (DsrnaError, OSError, ValueError, KeyError, TypeError):
            continue
        if known == fingerprint:
            found.append((not finished, created, folder.name, folder))
    return max(found)[-1] if found else None


def _run_says(folder: Path) -> tuple[str, str, bool]:
    """Fingerprint, when it began (in UTC), and whether it is finished."""
    run_folder = RunFolder.open(folder)
    run = run_folder.read_run()
    return run["fingerprint"], str(run["created"]), run_folder.is_complete


def _sweep_says(folder: Path) -> tuple[str, str, bool]:
    sweep = Sweep(folder)
    said = json.loads(sweep.sweep_json.read_text())
    states = list(sweep.states.values())
    created = said.get("created") or datetime.fromtimestamp(sweep.sweep_json.stat().st_mtime, UTC).isoformat()
    return said["fingerprint"], created, states == ["done"] * len(said["jobs"])
