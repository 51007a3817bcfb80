"""Doing what is left of a comparison, beside other processes that do the same."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from dsrna.comparing.cells import Cells
from dsrna.comparing.costs import Costs
from dsrna.comparing.jobs import Job, Jobs
from dsrna.comparing.plan import Chain, Plan
from dsrna.comparing.settings import ComparisonSettings
from dsrna.errors import DsrnaError
from dsrna.progress import duration
from dsrna.run_lock import held_if_free
from dsrna.runs.inside import WAIT_SECONDS, work_together
from dsrna.runs.launched import launch_tasks
from dsrna.runs.request import Request

log = logging.getLogger("dsrna")

_BAR = 24


class Work:
    """What is done and what is left.

    Args:
        plan, jobs, cells: of the comparison.
    """

    def __init__(self, plan: Plan, jobs: Jobs, cells: Cells) -> None:
        self._plan, self._jobs, self._cells = plan, jobs, cells
        self._failed: dict[Path, tuple[str, str]] = {}
        self._told: set[str] = set()

    @property
    def failures(self) -> Mapping[str, str]:
        """Label of a job -> why it failed in this process; what depends on it is left undone."""
        return dict(self._failed.values())

    def steps(self, chain: Chain) -> Iterator[Job]:
        """The jobs of a chain in order, as far as they can be known yet."""
        before = self._cells.search_before(chain.origin)
        if before is not None:
            yield before
            return
        row, seed = chain.origin.row, chain.training_seed
        architecture = self._cells.of(chain.origin)
        yield self._jobs.training(row, architecture, seed)
        yield self._jobs.evaluation(row, architecture, seed)

    def next(self, chain: Chain) -> Job | None:
        """The first job of a chain that isn't done; None where all are."""
        return next((job for job in self.steps(chain) if not job.is_done), None)

    def left(self) -> list[Job]:
        """The next job of every chain, each once; none that failed here."""
        jobs = {job.folder.path: job for chain in self._plan.chains if (job := self.next(chain)) is not None}
        return [job for path, job in jobs.items() if path not in self._failed]

    def remaining(self, chains: Iterable[Chain]) -> list[str]:
        """What kinds of work are left of these chains, each job once; cells yet to be found count as different."""
        found: dict[object, str] = {}
        for chain in chains:
            for job in self.steps(chain):
                if not job.is_done:
                    found[job.folder.path] = job.cost
            if self._cells.search_before(chain.origin) is not None:
                found |= {(chain, kind): kind for kind in self._jobs.costs_of_training(chain.origin.row)}
        return list(found.values())

    def do_all(self, request: Request[ComparisonSettings], costs: Costs) -> None:
        """Does all that is left, or has the request's launcher do it, and waits for what others are doing."""
        if request.launcher is None:
            work_together(self.left, lambda job: self._do(job, request, costs))
        else:
            self._launch(request, costs)
        for label, error in self.failures.items():
            log.error("%s failed: %s", label, error)

    def _do(self, job: Job, request: Request[ComparisonSettings], costs: Costs) -> bool:
        """Whether it was done, or tried; not where another process is at it."""
        with held_if_free(job.folder.path) as refusal:
            if refusal is not None:
                if refusal not in self._told:
                    log.info("not this one: %s", refusal)
                self._told.add(refusal)
                return False
            if job.is_done:  # by one that ended just now
                return True
            log.info("%s %s", self._progress(costs), job.label)
            try:
                job.run(request)
            except DsrnaError as error:
                self._note_failure(job, str(error))
            else:
                costs.note(job.cost, job.seconds)
        return True

    def _launch(self, request: Request[ComparisonSettings], costs: Costs) -> None:
        """In waves: all that can be done now is launched at once, and what depends on it when all of that has ended."""
        launched = 0
        while left := self.left():
            wave = {job.folder.path.relative_to(request.folder).as_posix(): job for job in left if _is_free(job)}
            if not wave:
                time.sleep(WAIT_SECONDS)
                continue
            log.info(
                "%s %d launched: %s", self._progress(costs), len(wave), "; ".join(job.label for job in wave.values())
            )
            failures = launch_tasks(
                request, {name: partial(job.run_if_free, request) for name, job in wave.items()}, launched
            )
            launched += len(wave)
            for name, job in wave.items():
                if job.is_done:
                    costs.note(job.cost, job.seconds)
                elif name in failures or _is_free(job):
                    self._note_failure(job, failures.get(name, "it ended without a result; see the log in its folder"))

    def _note_failure(self, job: Job, error: str) -> None:
        self._failed[job.folder.path] = job.label, error
        log.error("%s: %s", job.label, error)

    def _progress(self, costs: Costs) -> str:
        """Runs done of all, rows done of all, and the time left."""
        chains = list(self._plan.chains)
        undone = [chain for chain in chains if self.next(chain) is not None]
        done, rows = len(chains) - len(undone), [row.name for row in self._plan.rows]
        open_rows = {chain.origin.row for chain in undone}
        filled = _BAR * done // len(chains)
        seconds = costs.total(self.remaining(undone))
        left = "" if seconds is None else f", about {duration(seconds)} left"
        return (
            f"[{'#' * filled}{'.' * (_BAR - filled)}] {done} of {len(chains)} runs, "
            f"{len(rows) - len(open_rows)} of {len(rows)} rows done{left}:"
        )


def _is_free(job: Job) -> bool:
    """Whether nobody is at it."""
    with held_if_free(job.folder.path) as refusal:
        return refusal is None
