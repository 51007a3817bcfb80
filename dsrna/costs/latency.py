"""How long a network, or any other call, takes, measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dsrna.nn.modes import evaluation_mode

_REPEATS = 15
_MOST_SECONDS = 5.0


def latency(network: nn.Module, shape: tuple[int, int, int], batch_size: int, device: torch.device) -> float:
    """Milliseconds of a forward pass in evaluation mode, see :func:`milliseconds`.

    Args:
        network: on the device.
        shape: (C, H, W) of an image.
        batch_size: images of a pass.
        device: where it runs.
    """
    x = torch.zeros(batch_size, *shape, device=device)
    with evaluation_mode(network), torch.no_grad():
        return milliseconds(lambda: network(x), device)


def milliseconds(call: Callable[[], Any], device: torch.device) -> float:
    """Milliseconds of a call: the median of up to 15 after one that warms up.

    Fewer, but at least three, where they take longer than five seconds in all. No two measurements agree; other work on
    the machine makes them longer.

    Args:
        call: what is measured.
        device: where it computes, which is waited for.
    """
    taken: list[float] = []
    call()
    while len(taken) < 3 or (len(taken) < _REPEATS and sum(taken) < _MOST_SECONDS):
        _wait(device)
        began = time.perf_counter()
        call()
        _wait(device)
        taken.append(time.perf_counter() - began)
    return 1000 * statistics.median(taken)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
