"""What came of a study, as a document: ``study.json``, from which its page is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from dsrna.json_files import read_json
from dsrna.tuning.settings import TuneSettings
from dsrna.tuning.study import importances

if TYPE_CHECKING:
    from optuna import Study

SCHEMA, VERSION = "dsrna.study", 1


class TrialRecord(TypedDict):
    """A trial: ``values`` are those of the objectives, null where it was pruned or failed; ``epochs`` what it told."""

    number: int
    state: str
    parameters: dict[str, Any]
    values: list[float] | None
    epochs: dict[str, float]
    seconds: float | None
    error: str | None


class Confirmation(TypedDict):
    """What settings measured by seeds that chose nothing."""

    values: dict[str, str]
    seeds: list[int]
    measured: list[float]


class StudyDocument(TypedDict):
    """``study.json``; ``best`` are the numbers of the trials that no other one beats in every objective."""

    schema: str
    version: int
    name: str
    command: str
    overrides: list[str]
    objectives: list[str]
    seeds: list[int]
    trials: list[TrialRecord]
    best: list[int]
    importances: list[dict[str, float]]
    confirmation: dict[str, Confirmation]


def study_document(study: Study, settings: TuneSettings, folder: Path) -> StudyDocument:
    """The document of a study as it stands."""
    trials: list[TrialRecord] = [
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "parameters": dict(trial.params),
            "values": None if trial.values is None else list(trial.values),
            "epochs": {str(epoch): value for epoch, value in sorted(trial.intermediate_values.items())},
            "seconds": None if trial.duration is None else trial.duration.total_seconds(),
            "error": trial.user_attrs.get("error"),
        }
        for trial in study.get_trials(deepcopy=False)
    ]
    for record in trials:
        if record["state"] != "complete":
            record["values"] = None
    names = [name for name in ("best", "default") if (folder / "confirmation" / f"{name}.json").exists()]
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "name": settings.name,
        "command": settings.command,
        "overrides": list(settings.overrides),
        "objectives": list(settings.objectives),
        "seeds": list(settings.seeds),
        "trials": trials,
        "best": front(trials),
        "importances": importances(study, len(settings.objectives)),
        "confirmation": {
            name: read_json(folder / "confirmation" / f"{name}.json", Confirmation)
            for name in (names if settings.confirmation else [])
        },
    }


def front(trials: list[TrialRecord]) -> list[int]:
    """Numbers of the trials that no other one beats: as good in every objective and better in one."""
    measured = [(trial["number"], trial["values"]) for trial in trials if trial["values"] is not None]

    def beaten(own: list[float]) -> bool:
        return any(all(a >= b for a, b in zip(other, own, strict=True)) and other != own for _, other in measured)

    return [number for number, own in measured if not beaten(own)]
