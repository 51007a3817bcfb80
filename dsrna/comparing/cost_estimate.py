"""The estimated cost of what is left of a comparison, told before it starts."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dsrna.comparing.architectures import Architecture, FixedNetwork, description_of
from dsrna.comparing.cells import Cells
from dsrna.comparing.costs import Costs
from dsrna.comparing.jobs import Job, Jobs
from dsrna.comparing.plan import Origin, Plan
from dsrna.comparing.query_rows import query_seconds
from dsrna.comparing.settings import ComparisonSettings
from dsrna.comparing.work import Work
from dsrna.config.fingerprint import hashed
from dsrna.config.settings import Settings
from dsrna.data.splits import Splits
from dsrna.errors import DsrnaError
from dsrna.files import write_json
from dsrna.functional.seeding import generator
from dsrna.json_files import read_json
from dsrna.progress import Progress, duration
from dsrna.querying.settings import QuerySettings
from dsrna.run_lock import held_if_free
from dsrna.runs.request import Request
from dsrna.stages.evaluating_cost import evaluating_cost
from dsrna.stages.rehearsed import as_a_job, in_one_process
from dsrna.stages.search_cost import search_cost
from dsrna.stages.training_cost import training_cost
from dsrna.strategies.selection.sampling import equal_weights, sampled_cell
from dsrna.training.fit import device_name, device_of

log = logging.getLogger("dsrna")


def estimated_costs(
    request: Request[ComparisonSettings], plan: Plan, jobs: Jobs, cells: Cells, work: Work, splits: Splits
) -> Costs:
    """Rehearses each kind of work that is left, and says what all of it will take.

    What was rehearsed before on such a device is in ``rehearsal.json``. Where another process rehearses, or the
    settings don't want it, nothing is known but what jobs took that are done.
    """
    costs = Costs()
    for chain in plan.chains:
        for job in work.steps(chain):
            if job.is_done:
                costs.note(job.cost, job.seconds)
    left = Counter(work.remaining(plan.chains))
    if not left or request.settings.rehearsal == "never":
        return costs
    with held_if_free(request.folder / "rehearsal") as refusal:
        if refusal is None:
            costs.rehearsed = _Rehearsed(request, plan, jobs, cells, splits).of(left)
        else:
            log.info("another process rehearses, so that nothing is known of the cost here: %s", refusal)
    for line in estimate_lines(left, costs):
        log.info("%s", line)
    return costs


def estimate_lines(left: Counter[str], costs: Costs) -> list[str]:
    """What is left, kind by kind, and in all."""
    lines = []
    for kind, count in left.items():
        each = costs.of(kind)
        cost = "can't be told" if each is None else f"{duration(each)} each, {duration(count * each)} in all"
        lines.append(f"  {count} x {kind}: {cost}")
    total = costs.total(left.elements())
    known = "can't be told" if total is None else f"about {duration(total)}"
    return [
        *lines,
        f"estimated cost of what is left, in one process: {known} (less where searches end in the same cell; "
        "evaluations are taken as if every image withstood every attack; "
        "the table and a transfer between networks come on top)",
    ]


class _Rehearsed:
    """Rehearses, and remembers."""

    def __init__(
        self, request: Request[ComparisonSettings], plan: Plan, jobs: Jobs, cells: Cells, splits: Splits
    ) -> None:
        self._request, self._plan, self._jobs, self._cells, self._splits = request, plan, jobs, cells, splits
        self._file = request.folder / "rehearsal" / "rehearsal.json"
        self._known: dict[str, float] = read_json(self._file, dict[str, float]) if self._file.exists() else {}

    def of(self, kinds: Counter[str]) -> dict[str, float | None]:
        """Kind -> seconds of one such job; None where it can't be rehearsed."""
        ways = {kind: way for kind, way in self._ways().items() if kind in kinds}
        found: dict[str, float | None] = {}
        with Progress("rehearse", len(ways), mode=self._request.settings.trainer.progress) as bar:
            for kind, (key, way) in ways.items():
                if key not in self._known:
                    before = log.level
                    try:
                        log.setLevel(logging.ERROR)  # its messages are of epochs that nobody asked for
                        self._known[key] = round(way(), 3)
                        write_json(self._file, self._known)
                    except DsrnaError as error:
                        log.error("%s can't be rehearsed: %s", kind, error)
                    finally:
                        log.setLevel(before)
                found[kind] = self._known.get(key)
                bar.advance(1, {kind: "" if found[kind] is None else duration(self._known[key])})
        return found

    def _ways(self) -> dict[str, tuple[str, Callable[[], float]]]:
        """Kind -> what tells it from other ones, and how to rehearse it."""
        found: dict[str, tuple[str, Callable[[], float]]] = {}
        for row in self._plan.rows:
            if row.is_searched:
                job = self._jobs.search(row.name, self._plan.search_seeds[0])
                found[job.cost] = (
                    self._key(job.cost, job.fingerprint),
                    lambda job=job: self._search_seconds(job),  # type: ignore[misc]
                )
            train, evaluate = self._jobs.costs_of_training(row.name)
            if train in found:
                continue
            cell, shared = self._example(row.name), self._jobs.shared(row.name)
            found[train] = (
                self._key(train, self._jobs.training(row.name, cell, 0).fingerprint),
                lambda shared=shared.settings, cell=cell: self._training_seconds(shared, cell),  # type: ignore[misc]
            )
            found[evaluate] = (
                self._key(evaluate, self._jobs.evaluation(row.name, cell, 0).fingerprint),
                lambda shared=shared.settings, cell=cell: self._evaluation_seconds(shared, cell),  # type: ignore[misc]
            )
        return found

    def _search_seconds(self, job: Job) -> float:
        if isinstance(job.settings, QuerySettings):
            return query_seconds(job.settings, self._splits)
        assert isinstance(job.settings, Settings)
        request = replace(self._request, fingerprint=job.fingerprint)
        return search_cost(job.settings, request, self._splits).seconds.expected

    def _training_seconds(self, settings: Settings, architecture: Architecture) -> float:
        cell = None if isinstance(architecture, FixedNetwork) else architecture
        return training_cost("retrain", settings, self._request, self._splits, cell).seconds.expected

    def _evaluation_seconds(self, settings: Settings, architecture: Architecture) -> float:
        description = description_of(architecture, settings, self._splits)
        outer: Request[Any] = self._request
        with as_a_job(replace(outer, settings=in_one_process(settings)), self._splits, begins=False):
            return evaluating_cost(settings, self._splits, description).seconds.high

    def _key(self, kind: str, fingerprint: str) -> str:
        device = device_name(device_of(self._request.settings.trainer.accelerator))
        return f"{kind} {hashed(f'{fingerprint} {device}')}"

    def _example(self, row: str) -> Architecture:
        """The row's fixed network, or a random cell: that of a search isn't known yet."""
        if self._jobs.shared(row).settings.model is not None:
            return self._cells.of(Origin(row, 0))
        space = self._cells.space(row)
        return sampled_cell(space, equal_weights(space), generator(0, "rehearsal"))
