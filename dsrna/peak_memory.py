"""How much memory this process holds at most while it does something."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from pathlib import Path

import torch

_MACHINE = Path("/proc/meminfo")
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_FORGET_THE_PEAK = "5"  # proc(5)


class PeakMemory:
    """From here on, the memory of the process or, for CUDA, what torch reserves on the device.

    Memory that is free but was not given back is given back first where glibc can (``malloc_trim``), so that what is
    measured next grows from what is in use. Linux forgets an earlier peak; elsewhere, and in containers that forbid it,
    the peak is that of the whole process so far: never too small, and too large where more was held before.

    Args:
        device: where tensors are.

    Attributes:
        before: bytes held now.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
            self.before = torch.cuda.memory_reserved(device)
            return
        with suppress(OSError, TypeError, AttributeError):  # Windows, musl, macOS
            ctypes.CDLL(None).malloc_trim(0)
        with suppress(OSError):
            _RESET.write_text(_FORGET_THE_PEAK)
        self.before = _of_status("VmRSS") or _peak_of_process()

    def bytes(self) -> int:
        """The most since then."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_reserved(self._device)
        return _of_status("VmHWM") or _peak_of_process()


def available_memory(device: torch.device) -> int | None:
    """Bytes that the device has left, or the machine for a CPU; None where that can't be told."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return _size_in(_MACHINE, "MemAvailable") or None


def _of_status(key: str) -> int:
    return _size_in(_STATUS, key)


def _size_in(file: Path, key: str) -> int:
    """A size of a file like ``/proc/self/status`` in bytes; 0 where there is none."""
    with suppress(OSError):
        for line in file.read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
    return 0


def _peak_of_process() -> int:
    """Since its start; 0 on Windows, which has another way of asking."""
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
