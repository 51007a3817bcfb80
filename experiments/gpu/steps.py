"""The first steps of a search at its full size, and what the whole of it would take.

Run: ``python experiments/gpu/steps.py OVERRIDES …``, as for ``python -m dsrna.search`` (``+experiment=cifar10_jacobian
data.root=…``). It searches for two epochs of a few batches, the first without architecture steps, and times every step
from its beginning to the beginning of the next, loading included, on a GPU that has finished its work. The whole search
is then its warm-up epochs at the median of the first, its other epochs at that of the second, and their validation.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import platform
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from dsrna.commands import main_of
from dsrna.config.compose import compose
from dsrna.training.search_module import SearchModule

FIRST = 5
"""Steps of each epoch that aren't counted: the first ones look for kernels and memory."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+", help="of the search")
    parser.add_argument("--steps", type=int, default=30, help="that are counted, of each kind")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    chosen = parser.parse_args()
    search = compose("search", chosen.overrides)["search"]
    clock = Clock()
    limits = ["trainer.limits.epochs=2", f"trainer.limits.batches={chosen.steps + FIRST}", "search.warmup_epochs=1"]
    limits += ["selection=argmax", "stages=[search]", "resume=never"]
    stopped = None
    with tempfile.TemporaryDirectory() as folder:
        sys.argv = ["dsrna.search", *chosen.overrides, *limits, f"out={folder}"]
        try:
            main_of("search")
        except SystemExit as stop:  # by a signal, say: the steps so far may do
            stopped = stop
    if stopped is not None and not clock.has_enough():
        raise stopped
    found = extrapolated(clock, search["epochs"], search["warmup_epochs"])
    found |= {"overrides": chosen.overrides, "torch": torch.__version__, "device": device(), **peak()}
    for name, value in found.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")
    if stopped is not None:
        raise stopped


class Clock:
    """When each step of a search begins, by kind and epoch, once it is made."""

    def __init__(self) -> None:
        self.began: dict[tuple[str, int], list[float]] = {}
        self.batches: dict[str, int] = {}
        for kind in ("training", "validation"):
            name = f"{kind}_step"
            setattr(SearchModule, name, self._watched(kind, getattr(SearchModule, name)))

    def _watched(self, kind: str, step: Any) -> Any:
        @functools.wraps(step)
        def watched(module: SearchModule, *arguments: Any, **named: Any) -> Any:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.began.setdefault((kind, module.current_epoch), []).append(time.perf_counter())
            loader = module.trainer.train_dataloader if kind == "training" else module.trainer.val_dataloaders
            self.batches[kind] = len(loader)  # type: ignore[arg-type]
            return step(module, *arguments, **named)

        return watched

    def has_enough(self) -> bool:
        """Whether there is a step of each kind that counts."""
        return all(len(self.began.get(key, [])) >= FIRST + 2 for key in (("training", 1), ("validation", 0)))

    def seconds(self, kind: str, epoch: int) -> list[float]:
        """Of each step but the first few and the last, whose end isn't known."""
        began = self.began[kind, epoch][min(FIRST, len(self.began[kind, epoch]) - 2) :]
        return [after - before for before, after in itertools.pairwise(began)]


def extrapolated(clock: Clock, epochs: int, warmup: int) -> dict[str, Any]:
    weight, both = clock.seconds("training", 0), clock.seconds("training", 1)
    validation = clock.seconds("validation", 0)
    training_batches, validation_batches = clock.batches["training"], clock.batches["validation"]
    of_weights, of_both, of_validation = (statistics.median(some) for some in (weight, both, validation))
    an_epoch = validation_batches * of_validation
    whole = epochs * an_epoch + training_batches * (warmup * of_weights + (epochs - warmup) * of_both)
    return {
        "weight_step_seconds": of_weights,
        "both_steps_seconds": of_both,
        "both_steps_seconds_range": [round(min(both), 4), round(max(both), 4)],
        "steps_counted": len(both),
        "validation_batch_seconds": of_validation,
        "steps_an_epoch": training_batches,
        "validation_batches_an_epoch": validation_batches,
        "epochs": epochs,
        "warmup_epochs": warmup,
        "whole_search_hours": whole / 3600,
    }


def device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {platform.machine()}"


def peak() -> dict[str, float]:
    if torch.cuda.is_available():
        allocated, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
        return {"peak_gib_allocated": allocated / 2**30, "peak_gib_reserved": reserved / 2**30}
    return {"peak_gib_resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


if __name__ == "__main__":
    main()
