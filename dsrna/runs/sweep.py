"""A multirun: what its jobs tell each other and the process that started them, whichever process they run in."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dsrna.errors import DsrnaError
from dsrna.files import write_json, write_text, writing_to
from dsrna.json_files import read_json
from dsrna.run_folder import RunFolder
from dsrna.run_lock import holder_of


@dataclass(frozen=True)
class Sweep:
    """The folder of a multirun; a plain value that launchers can send to other processes.

    Jobs and parent may live in different processes, even on different machines: all they share are files.

    Attributes:
        path: the folder; the jobs' run folders lie in it.
    """

    path: Path

    @property
    def sweep_json(self) -> Path:
        return self.path / "sweep.json"

    @property
    def stop_file(self) -> Path:
        """There while the multirun is being stopped; holds the number of the signal."""
        return self.path / "stopping"

    def describe(self, fingerprint: str, jobs: Sequence[Sequence[str]]) -> None:
        """Writes ``sweep.json``."""
        created = datetime.now(UTC).isoformat(timespec="microseconds")
        with writing_to(self.path):
            write_json(self.sweep_json, {"fingerprint": fingerprint, "created": created, "jobs": jobs})

    def begin(self) -> None:
        """Forgets that it was stopped before."""
        with writing_to(self.path):
            self.stop_file.unlink(missing_ok=True)

    def stop(self, number: int, jobs: Iterable[Path] | None = None) -> None:
        """No further job is started, and those under way in other processes of this machine are told to stop.

        Args:
            number: of the signal.
            jobs: their folders; all that lie in this one where they are left out.
        """
        with suppress(OSError):  # a full disk: then the jobs under way are still told
            write_text(self.stop_file, str(number))
        every = self.path.rglob(RunFolder(self.path).lock.name)
        for lock in every if jobs is None else [RunFolder(job).lock for job in jobs]:
            holder = holder_of(lock)
            if holder is not None and holder.is_living and holder.process.pid != os.getpid():
                with suppress(ProcessLookupError, PermissionError):
                    # Not SIGINT, whatever came: in a terminal they have had that already, and two of it mean: at once.
                    os.kill(holder.process.pid, signal.SIGTERM)

    def note_failure(self, job: Path, error: Exception) -> None:
        """Leaves word, in the job's folder, of why it ended."""
        with suppress(OSError):
            write_json(RunFolder(job).failure_json, {"error": f"{type(error).__name__}: {error}"})

    @property
    def stopped_by(self) -> int | None:
        """The signal that stops it; None while nothing does."""
        try:
            return int(self.stop_file.read_text())
        except (OSError, ValueError):
            return None

    @property
    def states(self) -> dict[str, str]:
        """Job -> ``done``, or what became of it instead."""
        jobs = {found.parent for name in ("run.json", "failure.json") for found in self.path.glob(f"*/{name}")}
        return {job.name: _state(RunFolder(job)) for job in sorted(jobs)}


def _state(folder: RunFolder) -> str:
    try:
        if folder.failure_json.exists():
            return str(read_json(folder.failure_json)["error"]).splitlines()[0]
        stages = folder.read_run()["stages"].items()
        return next((f"{name} {stage['state']}" for name, stage in stages if stage["state"] != "done"), "done")
    except (DsrnaError, KeyError, TypeError, IndexError) as error:
        return f"unreadable: {error}"
