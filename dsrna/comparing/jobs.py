"""What each search, training and evaluation is: its settings, and a run folder that is named by what decides it.

So what is equal is done once, whichever rows or seeds ask for it; what is done stays done when rows are added, and what
is asked for in another way gets another folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from omegaconf import OmegaConf, open_dict

from dsrna.comparing.architectures import Architecture, FixedNetwork, digest_of, text_of
from dsrna.comparing.query_rows import composed_query
from dsrna.comparing.replayed import replayed_overrides
from dsrna.comparing.settings import ComparisonSettings, RowSettings
from dsrna.config.command_line import quoted
from dsrna.config.compose import compose_with_hydra, key_of, settings_from
from dsrna.config.fingerprint import fingerprint_of, hashed
from dsrna.config.settings import RunSettings, Settings
from dsrna.config.validate import validate
from dsrna.errors import ConfigError, DsrnaError
from dsrna.files import write_json
from dsrna.querying.run import QUERY
from dsrna.querying.settings import QuerySettings
from dsrna.run_folder import RunFolder
from dsrna.run_lock import held_if_free
from dsrna.runs.command import Program, nothing
from dsrna.runs.inside import run_inside
from dsrna.runs.request import Request, choices_of
from dsrna.stages.run import STAGES

_OF_SEARCHES = (
    "strategy", "regulariser", "search_schedule", "selection", "metric", "metric_join", "hypergradient", "search",
)  # fmt: skip
_OF_EVALUATIONS = ("evaluate",)
_OF_TRAININGS = ("objective", "retrain", "certified")
_OWN = ("rows", "search_seeds", "training_seeds", "reference", "rehearsal", "processes", "transfer")
_PLACES = {"search": "searches", "query": "searches", "retrain": "trainings", "evaluate": "evaluations"}
_VERBS = {"search": "search", "query": "search", "retrain": "train", "evaluate": "evaluate"}


@dataclass(frozen=True)
class Job:
    """One search, training or evaluation.

    Attributes:
        kind: ``search``, ``query``, ``retrain`` or ``evaluate``.
        label: for people.
        cost: jobs with the same word cost about the same.
        folder: its run folder.
        settings: of the run.
        fingerprint: of all that decides what comes out.
        config, choices: for its ``config.yaml`` and ``run.json``.
    """

    kind: str
    label: str
    cost: str
    folder: RunFolder
    settings: RunSettings
    fingerprint: str
    config: Mapping[str, Any]
    choices: Mapping[str, str]

    @property
    def is_done(self) -> bool:
        return self.folder.run_json.exists() and self.folder.is_complete

    @property
    def seconds(self) -> float:
        """Wall-clock time spent on it so far."""
        return sum(stage.get("seconds", 0.0) for stage in self.folder.read_run()["stages"].values())

    @property
    def _source(self) -> list[str]:
        source = getattr(self.settings, "start_from", None)
        return [] if source is None else [f"from={quoted(source)}"]

    def run(self, outer: Request[ComparisonSettings]) -> None:
        """Does it, or goes on with it; its folder says why it failed.

        Raises:
            DsrnaError, Interrupted: as of :func:`dsrna.runs.life_cycle.run`.
        """
        program: Program[Any, Any] = QUERY if self.kind == "query" else STAGES
        self.folder.failure_json.unlink(missing_ok=True)
        try:
            run_inside(
                replace(program, summary=nothing),  # the table tells it
                outer,
                self.kind,
                self.settings,
                self.folder.path,
                [*replayed_overrides(self.config, self.choices), *self._source],
                config=self.config,
                choices=self.choices,
                fingerprint=self.fingerprint,
            )
        except DsrnaError as error:
            write_json(self.folder.failure_json, {"error": str(error)})
            raise

    def run_if_free(self, outer: Request[ComparisonSettings]) -> None:
        """The same, unless another process is at it, or has done it."""
        with held_if_free(self.folder.path) as refusal:
            if refusal is None and not self.is_done:
                self.run(outer)


S = TypeVar("S", bound=RunSettings)


@dataclass(frozen=True)
class Composed(Generic[S]):
    """Settings, and what they were read from."""

    settings: S
    config: Mapping[str, Any]
    choices: Mapping[str, str]


class Jobs:
    """The jobs of a comparison.

    Args:
        request: the comparison.

    Raises:
        ConfigError: the settings of a row's search can't be composed, or are wrong.
    """

    def __init__(self, request: Request[ComparisonSettings]) -> None:
        self._request, rows = request, request.settings.rows
        shared = {row.space: self._composed(row, []) for row in rows}
        self._shared = {row.name: _with_model(shared[row.space], row) for row in rows}
        self._searches = {row.name: self._of_search(row) for row in rows if row.search is not None}
        self._queries = {row.name: self._of_query(row) for row in rows if row.query is not None}
        self._made: dict[tuple[str, str, int, Architecture | None], Job] = {}

    @property
    def folder(self) -> Path:
        """The comparison's."""
        return self._request.folder

    def costs_of_training(self, row: str) -> tuple[str, str]:
        """By what words the costs of a row's trainings and evaluations are known."""
        fixed, space = self._shared[row].settings.model, self._shared[row].choices.get("space", "")
        what = f"a cell of {space}" if fixed is None else f"{row}, {fixed}"
        return f"train {what}", f"evaluate {what}"

    def shared(self, row: str) -> Composed[Settings]:
        """What the networks of a row are trained and evaluated by."""
        return self._shared[row]

    def searching(self, row: str) -> Composed[Settings]:
        """What a row searches by."""
        return self._searches[row]

    def search(self, row: str, seed: int) -> Job:
        """The search of a row by that seed."""
        if row in self._queries:
            return self._job("query", row, self._queries[row], seed, ())
        return self._job("search", row, self._searches[row], seed, (*_OF_TRAININGS, *_OF_EVALUATIONS))

    def training(self, row: str, architecture: Architecture, seed: int) -> Job:
        """The training of a row's network by that seed."""
        source = None if isinstance(architecture, FixedNetwork) else self.cell_file(architecture)
        without = (*_OF_SEARCHES, *_OF_EVALUATIONS)
        return self._job("retrain", row, self._shared[row], seed, without, architecture, source)

    def evaluation(self, row: str, architecture: Architecture, seed: int) -> Job:
        """The evaluation of that training."""
        source = self.training(row, architecture, seed).folder.path
        return self._job("evaluate", row, self._shared[row], seed, _OF_SEARCHES, architecture, source)

    def cell_file(self, architecture: Architecture) -> Path:
        """Where a cell lies that is trained."""
        return self.folder / "cells" / f"{digest_of(architecture)}.json"

    def _job(
        self,
        kind: str,
        row: str,
        composed: Composed[Any],
        seed: int,
        without: Sequence[str],
        architecture: Architecture | None = None,
        source: Path | None = None,
    ) -> Job:
        if (kind, row, seed, architecture) in self._made:
            return self._made[kind, row, seed, architecture]
        own: dict[str, Any] = {"seed": seed, "resume": "auto"}
        if kind != "query":
            own["stages"] = [kind]
        if kind == "evaluate" and isinstance(architecture, FixedNetwork):
            own |= dict.fromkeys(("model_arguments", "normalization"))  # its checkpoint has them
        settings = composed.settings.model_copy(update=own)
        fingerprint = fingerprint_of(settings, without)
        if architecture is not None:
            fingerprint = hashed(f"{fingerprint} {text_of(architecture)}")
        folder = RunFolder(self.folder / _PLACES[kind] / f"seed{seed}_{fingerprint[:12]}")
        own |= {"name": folder.path.name}
        train, evaluate = self.costs_of_training(row)
        costs = {"search": f"search {row}", "query": f"search {row}", "retrain": train, "evaluate": evaluate}
        made = self._made[kind, row, seed, architecture] = Job(
            kind,
            f"{_VERBS[kind]} {row}, seed {seed}",
            costs[kind],
            folder,
            settings.model_copy(update=own | _given(kind, "start_from", source)),
            fingerprint,
            {**composed.config, **own, **_given(kind, "from", source)},
            composed.choices,
        )
        return made

    def _of_query(self, row: RowSettings) -> Composed[QuerySettings]:
        shared = self._shared[row.name]
        folders, config, choices = self._request.config_folders, dict(shared.config), dict(shared.choices)
        return Composed(*composed_query(row, folders, shared.settings, config, choices))

    def _of_search(self, row: RowSettings) -> Composed[Settings]:
        composed, shared = self._composed(row, row.search or []), self._shared[row.name]
        for key in ("data", "threat", "trainer"):
            if getattr(composed.settings, key) != getattr(shared.settings, key):
                raise ConfigError(
                    f"Row {row.name}: its search has other settings of `{key}` than the comparison, which are the same "
                    "for all rows: leave out the experiment that brings them, or set them for the comparison. "
                    "(conf: rows)"
                )
        return composed

    def _composed(self, row: RowSettings, overrides: Sequence[str]) -> Composed[Settings]:
        own = [*([] if row.space is None else [f"space={row.space}"]), *overrides]
        replaced = {key_of(override) for override in own}
        typed = [override for override in self._request.overrides if key_of(override) not in replaced]
        try:
            config, of_hydra = compose_with_hydra("compare", [*self._request.config_folders, *typed, *own])
            with open_dict(config):
                for key in _OWN:
                    config.pop(key)
                config.stages = ["search"]
            settings = settings_from(config)
            validate(settings)
        except ConfigError as error:
            raise ConfigError(f"Row {row.name}: {error}") from error
        plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
        return Composed(settings, plain, choices_of(of_hydra))


def _given(kind: str, key: str, source: Path | None) -> dict[str, str | None]:
    """What a run starts from, of those that may start from something."""
    return {} if kind == "query" else {key: None if source is None else str(source)}


def _with_model(composed: Composed[Settings], row: RowSettings) -> Composed[Settings]:
    """With the fixed network of a row that has one."""
    if row.model is None:
        return composed
    own = {
        "stages": ["retrain", "evaluate"],
        "model": row.model,
        "model_arguments": row.model_arguments,
        "normalization": "data",
    }
    settings = composed.settings.model_copy(update=own)
    return Composed(settings, {**composed.config, **own}, composed.choices)
