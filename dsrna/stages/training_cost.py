"""What training the derived network will cost, told from a few of its steps."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from dsrna.config.settings import Settings
from dsrna.data.splits import Splits
from dsrna.functional.multiply_adds import multiply_adds
from dsrna.functional.seeding import generator
from dsrna.runs.request import Request
from dsrna.spaces import genotype_codec
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.search_space import SearchSpace
from dsrna.stages.job import at_most
from dsrna.stages.rehearsed import rehearsed
from dsrna.stages.retrain import describe
from dsrna.stages.search_cost import told
from dsrna.stages.stage_cost import ONCE, CostRange, StageCost
from dsrna.strategies.selection.sampling import distinct_cells, equal_weights
from dsrna.training.trained_network import build_network

_EPOCHS = 2
"""The first one warms up."""
_RANDOM_CELLS = 16


def training_cost(
    stage: str,
    settings: Settings,
    outer: Request[Any],
    splits: Splits,
    genotype: Genotype | None,
    others: CostRange = ONCE,
) -> StageCost:
    """Of the steps, the attack on the validation split after every epoch, and the start.

    Args:
        stage: retrain, certified or baseline.
        settings: of the training.
        outer: the run that it belongs to.
        splits: the data.
        genotype: what is trained; None: what ``model`` names.
        others: how many times its cost another network may have that is trained in its place.
    """
    training = settings.certified if stage == "certified" else settings.retrain
    limits = settings.trainer.limits
    epochs, train = at_most(training.epochs, limits.epochs), len(splits.train)
    batch_size = min(at_most(training.batch_size, limits.batch_size), train)
    steps = at_most(max(1, train // batch_size), limits.batches)
    with tempfile.TemporaryDirectory() as folder:
        update: dict[str, Any] = {"stages": ["retrain"]}
        for kind in ("retrain", "certified"):
            update[kind] = getattr(settings, kind).model_copy(update={"epochs": _EPOCHS})
        if genotype is not None:
            update["start_from"] = str(Path(folder) / "genotype.json")
            genotype_codec.save(genotype, Path(update["start_from"]))
        few = rehearsed(stage, settings.model_copy(update=update), outer, splits, batch_size, steps)
    last = few.epochs[-1]
    again = few.validated_again(len(splits.validation), limits.batches, batch_size)
    a_step = CostRange.of(last.steps) * (batch_size / few.batch_size * steps)
    seconds = ((a_step + CostRange.exactly(last.validation * again)) * others + CostRange.exactly(last.rest)) * epochs
    weights = few.files.get(f"{stage}/last.ckpt", 0)
    memory = few.memory(batch_size, 2 * weights)
    held = min(few.held, memory.low)
    return StageCost(
        seconds + CostRange.exactly(few.before + few.after),
        CostRange.exactly(held) + (memory + CostRange.exactly(-held)) * others,
        few.disk(epochs),
        (told(few, steps),),
    )


def usual_cell(settings: Settings, splits: Splits, space: SearchSpace) -> tuple[Genotype, CostRange]:
    """Of sixteen random cells the one whose network has the median of the multiply-adds, and how many times as many the
    others have: what a search will find isn't known before it."""
    cells = distinct_cells(space, equal_weights(space), _RANDOM_CELLS, generator(0, "rehearsal"))
    costs = []
    for cell in cells:
        with torch.device("meta"):
            network = build_network(describe(settings, splits, cell)).eval()
            costs.append(multiply_adds(network, torch.zeros(1, *splits.train.shape)))
    order = sorted(range(len(cells)), key=costs.__getitem__)
    usual = order[len(order) // 2]
    middle = max(1, costs[usual])
    return cells[usual], CostRange(min(costs) / middle, 1.0, max(costs) / middle)
