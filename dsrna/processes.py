"""Which process wrote something, and whether it still lives."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process, told apart from all others that ever had its number.

    Attributes:
        host: name of its machine, for people.
        place: stands for the machine and, in a container, for the container: numbers of processes mean something there.
        pid: its number.
        started: when it began, as the system counts; changes with a restart of the machine.
    """

    host: str
    place: str
    pid: int
    started: str

    @property
    def is_living(self) -> bool | None:
        """None: it can't be known from here, because the process is of another machine or container."""
        return is_living(self.pid, self.started, self.place)


def this_process() -> Process:
    """The process that asks."""
    return _process(os.getpid())


def is_living(pid: int, started: str | None, place: str | None) -> bool | None:
    """As of :attr:`Process.is_living`; what isn't known of a process is None, and taken for that of a living one."""
    if sys.platform == "win32" or (place is not None and place != this_place()):
        return None
    found = _started(pid)
    return found is not None and started in (None, found)


@cache
def _process(pid: int) -> Process:
    return Process(platform.node(), this_place(), pid, _started(pid) or "")


@cache
def this_place() -> str:
    """Eight hexadecimal digits for this machine and container."""
    facts = [platform.node(), _text("/etc/machine-id")]
    with suppress(OSError):
        facts.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115 - a link that leads nowhere
    return hashlib.blake2b(" ".join(facts).encode(), digest_size=4).hexdigest()


def _started(pid: int) -> str | None:
    """When the process with this number began; None where there is none."""
    if Path("/proc/self/stat").exists():
        fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()  # behind the name, which may hold anything
        if not fields or fields[0] in ("Z", "X"):  # dead, and only not yet collected by its parent
            return None
        return f"{_text('/proc/sys/kernel/random/boot_id')[:8]}.{fields[19]}"
    if sys.platform == "win32":
        return ""
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "".join(found.stdout.split()).replace(":", "") or None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
