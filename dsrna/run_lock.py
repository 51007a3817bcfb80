"""A run has one living process: who holds a run folder, and what is done about a dead one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from dsrna.errors import CheckpointError
from dsrna.files import remove_half_written, write_new, writing_to
from dsrna.processes import Process, this_process
from dsrna.run_folder import RunFolder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SCHEMA = "dsrna.lock"


@dataclass(frozen=True)
class Holder:
    """Who holds a folder.

    Attributes:
        process: the process.
        since: when it took the folder, ISO 8601 in UTC.
        slurm: number of its Slurm job and how often that was requeued; None elsewhere.
    """

    process: Process
    since: str
    slurm: tuple[str, int] | None = None

    @property
    def is_living(self) -> bool | None:
        """As of :attr:`Process.is_living`. A requeued Slurm job knows that its earlier life is over, on any machine."""
        mine = _slurm()
        if self.slurm is not None and mine is not None and self.slurm[0] == mine[0] and self.slurm[1] < mine[1]:
            return False
        return self.process.is_living


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Inside the block the run folder, or the folder of a multirun, is this process's.

    What a dead process left - its lock, and files that it had half written - is cleared away. Reading needs no lock.

    Raises:
        CheckpointError: another process holds the folder, or may hold it; the message says which, and what to do.
        ConfigError: the folder can't be written to.
    """
    path, me = RunFolder(folder).lock, Holder(this_process(), datetime.now(UTC).isoformat(timespec="seconds"), _slurm())
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(folder):
            _clear(path, me)
            if not write_new(path, _dumped(me)):  # on a network, where the others aren't kept out above
                raise CheckpointError(_refusal(path, holder_of(path)))
    try:
        yield
    finally:
        if holder_of(path) == me:  # not what somebody put there after removing it by hand
            path.unlink(missing_ok=True)


@contextmanager
def held_if_free(folder: Path) -> Iterator[str | None]:
    """As :func:`held`, for who has other things to do: gives None, or why the folder is not this process's."""
    with ExitStack() as stack:
        refusal = None
        try:
            stack.enter_context(held(folder))
        except CheckpointError as error:
            refusal = str(error)
        yield refusal


def refuse_others(folder: Path) -> None:
    """Raises CheckpointError where another process is at work in ``folder``, whether or not this one holds it."""
    holder = holder_of(RunFolder(folder).lock)
    if holder is None or holder.process != this_process():
        with held(folder):
            pass


def holder_of(path: Path) -> Holder | None:
    """Who holds the lock at ``path``; None where nobody does, or nobody can be made out."""
    try:
        stored = json.loads(path.read_bytes())
        slurm = stored["slurm"]
        return Holder(Process(**stored["process"]), stored["since"], slurm and (slurm[0], slurm[1]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _clear(path: Path, me: Holder) -> None:
    """Removes the lock of a process that is dead; its half-written files go, too."""
    holder = holder_of(path)
    if holder is None and path.exists():
        raise CheckpointError(
            f"Expected {path} to say which process uses this folder; it is damaged. If none does, remove that file "
            "and try again."
        )
    if holder is not None and holder.is_living is not False:
        raise CheckpointError(_refusal(path, holder))
    path.unlink(missing_ok=True)
    writer = remove_half_written(path.parent, None if holder is None else holder.process)
    if writer is not None and writer != me.process.pid:
        raise CheckpointError(
            f"{path.parent} is in use: process {writer} is writing a file there. Wait until it has ended."
        )


def _refusal(path: Path, holder: Holder | None) -> str:
    if holder is None:
        return f"{path.parent} was taken by another process just now. Wait until it has ended. (conf: resume)"
    process, here = holder.process, this_process()
    known = f"{path.parent} is in use: process {process.pid} on {process.host} has had it since {holder.since}."
    if holder.is_living:
        return f"{known} Wait until it has ended, or end it (kill {process.pid}), then go on with resume=auto."
    return (
        f"{known} That is another machine or container than {here.host}, from where it can't be seen whether the "
        f"process still lives. If it is surely dead, remove {path} and try again."
    )


def _slurm() -> tuple[str, int] | None:
    job, restarts = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_RESTART_COUNT") or "0"
    return (job, int(restarts)) if job and restarts.isdigit() else None


def _dumped(holder: Holder) -> bytes:
    return (json.dumps({"schema": SCHEMA, **asdict(holder)}, indent=2) + "\n").encode()


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Keeps other processes of this machine out of the block, where the system can do that."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
