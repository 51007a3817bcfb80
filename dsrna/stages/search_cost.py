"""What a search will cost, told from a few of its steps."""

from __future__ import annotations

from typing import Any

from dsrna.config.parts import target_of
from dsrna.config.search_parts import search_epochs
from dsrna.config.settings import Settings
from dsrna.data.splits import Splits, search_halves
from dsrna.runs.request import Request
from dsrna.stages.evidence import CALIBRATION_IMAGES, CELLS_OF_A_REHEARSAL, IMAGES
from dsrna.stages.job import at_most
from dsrna.stages.rehearsed import Rehearsed, rehearsed
from dsrna.stages.stage_cost import CostRange, StageCost
from dsrna.strategies.selection.argmax import Argmax
from dsrna.training.step_times import EpochTimes

_EPOCHS = 2
"""Of each kind, with and without architecture steps; the first one warms up."""


def search_cost(settings: Settings, outer: Request[Any], splits: Splits) -> StageCost:
    """Of the steps, the validation of every epoch, and the comparison with random cells at the end.

    Rehearsed are two epochs of weight steps and two with architecture steps; the second one of each counts.

    Args:
        settings: of the search.
        outer: the run that it belongs to.
        splits: the data.
    """
    search, limits = settings.search, settings.trainer.limits
    weights_half, architecture_half = search_halves(splits, settings.seed, search.weights_fraction)
    epochs, warmup = search_epochs(settings)
    batch_size = min(at_most(search.batch_size, limits.batch_size), len(weights_half))
    steps = at_most(max(1, len(weights_half) // batch_size), limits.batches)
    short = settings.model_copy(
        update={"search": search.model_copy(update={"epochs": 2 * _EPOCHS, "warmup_epochs": _EPOCHS})}
    )
    few = rehearsed("search", short, outer, splits, batch_size, steps)
    larger, warm, architecture = batch_size / few.batch_size, few.epochs[_EPOCHS - 1], few.epochs[-1]
    again = few.validated_again(len(architecture_half), limits.batches, batch_size)

    def an_epoch(of: EpochTimes) -> CostRange:
        return CostRange.of(of.steps) * (larger * steps) + CostRange.exactly(of.validation * again + of.rest)

    compared, notes = _comparison(settings, few, len(weights_half), len(splits.validation))
    together = CostRange.exactly(0.0)
    if search.random_cells > 0 and search.comparison_epochs > 0:
        most = search.comparison_epochs * steps * larger * sum(warm.steps) / len(warm.steps)
        together = CostRange.between(0.0, most)
        notes.append("training of random cells together: between nothing and a weight step of the supernet a batch")
    seconds = an_epoch(warm) * warmup + an_epoch(architecture) * (epochs - warmup) + compared + together
    weights = few.files.get("search/last.ckpt", 0)
    return StageCost(seconds, few.memory(batch_size, 2 * weights), few.disk(epochs), (told(few, steps), *notes))


def told(few: Rehearsed, steps: int) -> str:
    """What was done, for people."""
    return f"{len(few.epochs)} epochs of {few.batches} batches of {few.batch_size} images, of {steps} an epoch"


def _comparison(settings: Settings, few: Rehearsed, weights_half: int, validation: int) -> tuple[CostRange, list[str]]:
    """Seconds before and after the epochs: the comparison grows with its cells and, at most, with its images."""
    notes = []
    selection = target_of(settings.selection, "selection")
    if not (isinstance(selection, type) and issubclass(selection, Argmax)):
        notes.append("selection: at least as long as in the rehearsal; its trainings aren't extrapolated")
    if settings.search_schedule:
        notes.append("search schedules: as in the first epochs, whatever they stop or change later")
    images = min(CALIBRATION_IMAGES, weights_half) + min(IMAGES, validation)
    seen = few.batches * few.batch_size
    seen = min(CALIBRATION_IMAGES, weights_half, seen) + min(IMAGES, validation, seen)
    wanted, scored = settings.search.random_cells, min(CELLS_OF_A_REHEARSAL, settings.search.random_cells)
    paths = 1.0 if settings.trainer.limits.any else (wanted + 2) / (scored + 2)  # the mixture and the derived cell too
    low, high = few.after * paths, few.after * paths * max(1.0, images / seen)
    return CostRange.between(few.before + low, few.before + high), notes
