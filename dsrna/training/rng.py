"""The state of torch's global generators, from which drop-path draws; everything else has seeds of its own."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seeds the global generators of torch, and of Python and numpy, from which a library may draw."""
    seed %= 2**32  # all that numpy takes
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def rng_state() -> dict[str, Any]:
    """The states of the CPU's and of every GPU's generator."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_rng_state(state: dict[str, Any]) -> None:
    """Restores what :func:`rng_state` returned; GPU states only where the number of GPUs is the same."""
    torch.set_rng_state(state["cpu"].cpu())
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([gpu.cpu() for gpu in state["cuda"]])
