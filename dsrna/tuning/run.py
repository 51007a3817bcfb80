"""A study: trial after trial, then what came out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

from dsrna.config.ranges import Range, ranges_of
from dsrna.errors import ConfigError, DsrnaError
from dsrna.files import write_json
from dsrna.progress import Progress
from dsrna.run_folder import RunFolder
from dsrna.run_lock import held_if_free
from dsrna.runs.command import Program
from dsrna.runs.request import Request
from dsrna.runs.sources import load_splits
from dsrna.stages.rehearsal import rehearse
from dsrna.tuning.report import write_study
from dsrna.tuning.result import study_document
from dsrna.tuning.settings import TuneSettings, ends_of
from dsrna.tuning.study import gone_on_with, next_trial, opened_study, prune, unfinished
from dsrna.tuning.trials import PrunedError, values_of

if TYPE_CHECKING:
    from optuna import Study, Trial

log = logging.getLogger("dsrna")


@dataclass(frozen=True)
class Tuning:
    """A study whose settings, images and database are known to be usable.

    Attributes:
        request: the job.
        ranges: key -> what values are tried.
        study: in its database.
        first_lines: what the log begins with.
    """

    request: Request[TuneSettings]
    ranges: dict[str, Range]
    study: Study
    first_lines: list[str]
    data = None  # each trial's run folder notes its images


def prepare(request: Request[TuneSettings]) -> Tuning:
    """Opens data and database."""
    settings = request.settings
    ranges = ranges_of(settings.ranges)
    every = ends_of(settings)
    if every[0].start_from is None and settings.command == "retrain" and every[0].model is None:
        raise ConfigError("Trials of `retrain` start from something: overrides=['from=RNAS']. (conf: overrides)")
    splits = load_splits(every[0])
    for tried in every:
        rehearse(tried, splits, tried.stages, None)
    request.folder.mkdir(parents=True, exist_ok=True)  # the database lies in it
    line = f"study {settings.name} of {', '.join(ranges)} by {', '.join(settings.objectives)}, {settings.trials} trials"
    return Tuning(request, ranges, opened_study(settings, request.folder), [line, f"data: {splits.origin}"])


def stages(settings: TuneSettings) -> dict[str, Callable[[Tuning], None]]:
    """The trials; the best one beside the untouched settings, if that is asked for; the page."""
    confirming = {"confirm": _confirm} if settings.confirmation else {}
    return {"trials": _try_all, **confirming, "report": _report}


def _try_all(tuning: Tuning) -> None:
    """Trials until there are as many as asked for, those first that a process that is no more has begun here."""
    study, settings = tuning.study, tuning.request.settings
    with Progress("trials", settings.trials, mode=settings.progress) as bar:
        for left in unfinished(study):
            with held_if_free(tuning.request.folder / _where(left.number)) as refusal:
                if refusal is None and (tuning.request.folder / _where(left.number)).is_dir():
                    _try(tuning, gone_on_with(study, left))
        while (trial := next_trial(study, settings)) is not None:
            with held_if_free(tuning.request.folder / _where(trial.number)):
                _try(tuning, trial)
            bar.reach(min(settings.trials, len(study.trials)), settings.trials, {})
    held = [trial.number for trial in unfinished(study)]
    if held:
        log.info("other processes work on the trials %s; the last one to end draws the page of all", held)
    if not any(trial.values for trial in study.trials) and not held:
        raise DsrnaError(
            f"None of the {len(study.trials)} trials came to its end, see {tuning.request.folder}/trials. Begin "
            "another study with name=NAME."
        )


def _try(tuning: Tuning, trial: Trial) -> None:
    """One trial, from what is suggested to what it measures."""
    from optuna.trial import TrialState

    study, settings = tuning.study, tuning.request.settings
    values = {key: each.typed(each.suggested(trial)) for key, each in tuning.ranges.items()}
    shown = ", ".join(f"{key}={value}" for key, value in values.items())

    def tell(epoch: int, value: float) -> None:
        if prune(trial, epoch, value, settings):
            raise PrunedError(f"behind the other trials in epoch {epoch}")

    try:
        found = values_of(tuning.request, _where(trial.number), values, settings.seeds, tell)
    except PrunedError as why:
        study.tell(trial.number, state=TrialState.PRUNED)
        log.info("trial %d: %s: pruned, %s", trial.number, shown, why)
    except DsrnaError as error:
        trial.set_user_attr("error", str(error))
        study.tell(trial.number, state=TrialState.FAIL)
        log.warning("trial %d: %s: failed: %s", trial.number, shown, error)
    else:
        study.tell(trial.number, found)
        told = ", ".join(f"{key} {value:.4g}" for key, value in zip(settings.objectives, found, strict=True))
        log.info("trial %d: %s: %s", trial.number, shown, told)


def _confirm(tuning: Tuning) -> None:
    """The best trial and the untouched settings, by seeds that nothing was chosen by: whoever ends last does it."""
    settings, request = tuning.request.settings, tuning.request
    if unfinished(tuning.study):
        return
    best = tuning.study.best_trial.params
    for name, values in (
        (
            f"trial{tuning.study.best_trial.number:04d}",
            {key: each.typed(best[key]) for key, each in tuning.ranges.items()},
        ),
        ("default", {}),
    ):
        found = {}
        for seed in settings.confirmation:
            where = f"confirmation/{name}_{seed}"
            with held_if_free(request.folder / where) as refusal:
                if refusal is not None:
                    log.info("another process confirms: %s", refusal)
                    return
                found[seed] = values_of(request, where, values, [seed])[0]
        path = request.folder / "confirmation" / f"{'best' if values else name}.json"
        write_json(path, {"values": values, "seeds": list(found), "measured": list(found.values())})
        log.info("confirmation, %s %s: %.4g in the mean over %d seeds", name, values, mean(found.values()), len(found))


def _report(tuning: Tuning) -> None:
    """Writes ``study.json`` and the page."""
    folder = tuning.request.folder
    write_json(RunFolder(folder).study_json, study_document(tuning.study, tuning.request.settings, folder))
    log.info("report: %s", write_study(folder))


def _where(number: int) -> str:
    return f"trials/{number:04d}"


TUNE: Program[TuneSettings, Tuning] = Program(prepare=prepare, stages=stages, product=lambda folder: folder.report_html)
