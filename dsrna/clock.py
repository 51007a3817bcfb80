"""By which clock work is timed that is to be extrapolated."""

from __future__ import annotations

import time

import torch


def working_seconds(device: torch.device) -> float:
    """Seconds of work; differences of it are what counts.

    Where one thread of a CPU works, the CPU time of this process: what other programs take of the core meanwhile isn't
    counted. Else the time that passes, after the device has done what it was told.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif torch.get_num_threads() == 1:
        return time.process_time()
    return time.perf_counter()
