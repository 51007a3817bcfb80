"""What a whole run will cost, told by rehearsing a few steps of each of its stages."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dsrna.config.parts import build_part
from dsrna.config.settings import Settings
from dsrna.progress import Progress
from dsrna.runs.request import Request
from dsrna.stages.evaluating_cost import evaluating_cost
from dsrna.stages.external import described_model
from dsrna.stages.inputs import Inputs
from dsrna.stages.rehearsed import as_a_job, in_one_process
from dsrna.stages.retrain import describe
from dsrna.stages.run import STAGES, Opened
from dsrna.stages.search_cost import search_cost
from dsrna.stages.stage_cost import ONCE, CostRange, StageCost, largest, summed
from dsrna.stages.training_cost import training_cost, usual_cell
from dsrna.training.fit import device_of
from dsrna.training.trained_network import Description, load_network

REPORT = StageCost(
    CostRange(3.0, 8.0, 20.0),
    CostRange.exactly(0.0),
    CostRange(3e5, 1.0e6, 2.5e6),
    ("as those of recorded runs: it isn't drawn",),
)
"""Pictures and page hardly depend on the run."""
_RECORDS = CostRange.exactly(2e4)
"""Bytes of settings, versions and log."""
_TRAININGS = ("retrain", "certified", "baseline")


@dataclass(frozen=True)
class RunCost:
    """What a run will cost in one process.

    Attributes:
        started: seconds until the first stage begins: imports, settings, data.
        stages: by name, in their order.
        share: of a core that this process had while it rehearsed, where one thread of a CPU works; else 1. Seconds are
            those of a process that has it all.
    """

    started: float
    stages: dict[str, StageCost]
    share: float = 1.0

    @property
    def seconds(self) -> CostRange:
        return summed(cost.seconds for cost in self.stages.values()) + CostRange.exactly(self.started)

    @property
    def memory(self) -> CostRange:
        """The most of any stage."""
        return largest(cost.memory for cost in self.stages.values())

    @property
    def disk(self) -> CostRange:
        """At the end; at most with the one file that is being replaced."""
        costs = [cost.disk for cost in self.stages.values()]
        total = summed(CostRange(each.low, each.expected, each.expected) for each in costs)
        return total + CostRange(0.0, 0.0, max(each.high - each.expected for each in costs)) + _RECORDS


def cost_of_run(request: Request[Settings]) -> RunCost:
    """Rehearses the stages of search, retrain or evaluate; nothing of it stays.

    Raises:
        DsrnaError: the run would be refused, for the reason that is given.
    """
    opened = STAGES.prepare(request)
    STAGES.check(opened)
    began, started = time.perf_counter(), time.process_time()
    ways, found = _ways(opened), {}
    with Progress("rehearse", len(ways), mode=request.settings.trainer.progress) as bar:
        for name, way in ways.items():
            found[name] = way()
            bar.advance(1, {name: ""})
    share = (time.process_time() - started) / max(1e-9, time.perf_counter() - began)
    on_cpu = device_of(request.settings.trainer.accelerator).type == "cpu"
    return RunCost(started, found, min(1.0, share) if on_cpu else 1.0)


def _ways(opened: Opened) -> dict[str, Callable[[], StageCost]]:
    """Stage -> how it is rehearsed."""
    request, splits, inputs = opened.request, opened.splits, opened.inputs
    settings = in_one_process(request.settings)
    stages = list(STAGES.stages(settings))
    genotype, others = inputs.genotype, ONCE
    if genotype is None and settings.model is None:
        genotype, others = usual_cell(settings, splits, build_part(settings.space, "space"))
    trained = [stage for stage in stages if stage in _TRAININGS]

    def evaluation() -> StageCost:
        description = _description(settings, opened, genotype, bool(trained))
        count = len(trained) or len(inputs.networks) or 1
        with as_a_job(replace(request, settings=settings), splits, begins=False):
            return evaluating_cost(settings, splits, description, count, others, trained.count("baseline"))

    ways: dict[str, Callable[[], StageCost]] = {
        "search": partial(search_cost, settings, request, splits),
        **{stage: partial(training_cost, stage, settings, request, splits, genotype, others) for stage in _TRAININGS},
        "evaluate": evaluation,
        "report": lambda: REPORT,
    }
    return {stage: _noting(ways[stage], others if stage in (*trained, "evaluate") else None) for stage in stages}


def _noting(way: Callable[[], StageCost], others: CostRange | None) -> Callable[[], StageCost]:
    """The same, which says as well that the cell isn't known yet."""
    if others is None or others.low == others.high:
        return way

    def noted() -> StageCost:
        cost = way()
        note = (
            f"of a random cell; networks of others have {others.low:.2g} to {others.high:.2g} times its multiply-adds"
        )
        return replace(cost, notes=(*cost.notes, note))

    return noted


def _description(settings: Settings, opened: Opened, genotype: Any, is_trained: bool) -> Description:
    """Of the network that is evaluated."""
    inputs: Inputs = opened.inputs
    if not is_trained and inputs.networks:
        return load_network(next(iter(inputs.networks.values())), settings.model)[1]
    if not is_trained and inputs.model is not None:
        return inputs.model.description
    if settings.model is not None:
        return described_model(settings, opened.splits)
    assert genotype is not None
    return describe(settings, opened.splits, genotype)
