"""The run folder: how a run is begun in it, and what is noted in and read from its files."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from dsrna import documents, evaluation_documents, query_documents
from dsrna.conforming import misfit, shown
from dsrna.errors import CheckpointError, ConfigError, NonFiniteError
from dsrna.files import write_atomically, write_json, write_text, writing_to
from dsrna.json_files import RESTORE, append_line, read_document, read_json, read_lines
from dsrna.provenance import git_state, library_versions, this_command
from dsrna.run_files import RunFiles

SCHEMA = "dsrna.run"
VERSION = 1

StageState = Literal["pending", "running", "done", "failed", "interrupted"]


class RunFolder(RunFiles):
    """One run's folder, the only hand-over between stages.

    ``RunFolder(path)`` only names files; use :meth:`create` to start a run and :meth:`open` to read one.
    """

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        kind: str,
        fingerprint: str,
        config_text: str,
        overrides: Sequence[str],
        stages: Sequence[str],
        device: str,
        data: str | None = None,
        command: str | None = None,
        rehearsal: bool = False,
        choices: Mapping[str, str] = MappingProxyType({}),
    ) -> RunFolder:
        """Makes the folder with ``run.json``, ``config.yaml`` and ``overrides.yaml``; every stage is ``pending``.

        Args:
            path: the folder; it may exist, but must not hold a run.
            kind: the entry point, e.g. ``"search"``.
            fingerprint: hash of all settings that change results; a resumed run must have the same.
            config_text: the resolved config as YAML.
            overrides: what the user typed, one ``key=value`` each.
            stages: the stages this run will walk through, in order.
            device: where it computes, e.g. ``"cpu"`` or ``"cuda:0 (NVIDIA H200)"``.
            data: digest of the images it works on; None: it works on none.
            command: the command line to print under "how to reproduce"; by default this process's.
            rehearsal: whether it only shows that the whole pipeline runs, so that nobody may quote its numbers.
            choices: config group -> the name of the part that was chosen.

        Raises:
            ConfigError: ``path`` holds a run already, or can't be written to.
        """
        folder = cls(Path(path))
        with writing_to(folder.path):
            if folder.run_json.exists():
                raise ConfigError(
                    f"Expected a folder without a run, got {folder.path}, which holds one. (conf: out) "
                    "Continue it with resume=auto, or choose another folder with out=FOLDER."
                )
            write_text(folder.config_yaml, config_text)
            write_json(folder.overrides_yaml, list(overrides))  # JSON is YAML, and needs no YAML parser to read
            write_json(
                folder.run_json,
                {
                    "schema": SCHEMA,
                    "version": VERSION,
                    "kind": kind,
                    "fingerprint": fingerprint,
                    "data": data,
                    "created": datetime.now(UTC).isoformat(timespec="seconds"),
                    "git": git_state(),
                    "versions": library_versions(),
                    "python": platform.python_version(),
                    "platform": platform.platform(),
                    "device": device,
                    "command": this_command() if command is None else command,
                    "rehearsal": rehearsal,
                    "choices": dict(choices),
                    "stages": {stage: {"state": "pending"} for stage in stages},
                },
            )
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The run folder at ``path``.

        Raises:
            CheckpointError: there is no run folder, its ``run.json`` is damaged, or it is of another schema version.
        """
        folder = cls(Path(path))
        folder.read_run()
        return folder

    def read_run(self) -> dict[str, Any]:
        """``run.json``, checked. Raises CheckpointError as :meth:`open` does."""
        if not self.run_json.is_file():
            raise CheckpointError(
                f"Expected a run folder, got {self.path}, which has no run.json. "
                "Give the folder that a run wrote (its `out`), not a folder above or below it."
            )
        return read_document(self.run_json, SCHEMA, VERSION, documents.Run)

    def read_evaluation(self) -> dict[str, Any] | None:
        """``evaluation.json``, checked; None where there is none. Raises CheckpointError as :meth:`open` does."""
        path = self.evaluation_json
        found = read_document(path, "dsrna.evaluation", 1, evaluation_documents.Evaluation) if path.exists() else None
        if found is not None and not found["networks"]:
            raise CheckpointError(f"Expected at least one network in {path}, got none. {RESTORE}")
        return found

    def read_verdict(self) -> dict[str, Any] | None:
        """``verdict.json``, checked; None where there is none. Raises CheckpointError as :meth:`open` does."""
        path = self.verdict_json
        return read_document(path, "dsrna.verdict", 1, documents.Verdict) if path.exists() else None

    def read_evidence(self) -> dict[str, Any] | None:
        """``search/evidence.json``, checked; None where there is none. Raises CheckpointError as :meth:`open` does."""
        path = self.evidence_json
        return read_document(path, "dsrna.evidence", 1, documents.Evidence) if path.exists() else None

    def set_stage(self, stage: str, state: StageState, seconds: float | None = None) -> None:
        """Notes in ``run.json``, atomically, how far ``stage`` is.

        Args:
            stage: its name; one that was not announced to :meth:`create` is added.
            state: ``pending``, ``running``, ``done``, ``failed`` or ``interrupted``.
            seconds: wall-clock time spent in the stage so far; None keeps what was noted before.
        """
        if state not in get_args(StageState):
            raise ValueError(f"Expected a state of {get_args(StageState)}, got {state!r}.")
        run = self.read_run()
        entry = run["stages"].setdefault(stage, {})
        entry["state"] = state
        if seconds is not None:
            entry["seconds"] = round(seconds, 3)
        with writing_to(self.path):
            write_json(self.run_json, run)

    def set_objective(self, key: str, value: float) -> None:
        """Notes in ``run.json``, atomically, what the run gives to a sweep, which maximises it."""
        run, noted = self.read_run(), {"name": key, "value": value}
        if run.get("objective") != noted:
            with writing_to(self.path):
                write_json(self.run_json, run | {"objective": noted})

    @property
    def is_rehearsal(self) -> bool:
        """Whether the run, or one that it started from, only shows that the whole pipeline runs."""
        return bool(self.read_run().get("rehearsal", False))

    def mark_rehearsal(self) -> None:
        """Notes in ``run.json``, atomically, that the run started from a rehearsal, which makes it one."""
        with writing_to(self.path):
            write_json(self.run_json, self.read_run() | {"rehearsal": True})

    @property
    def is_complete(self) -> bool:
        """Whether every stage of the run is done."""
        stages = self.read_run()["stages"].values()
        return bool(stages) and all(stage["state"] == "done" for stage in stages)

    def read_overrides(self) -> list[str]:
        """What the user typed, one ``key=value`` each; empty when the file is absent.

        Raises:
            CheckpointError: the file is damaged.
        """
        if not self.overrides_yaml.exists():
            return []
        found: list[str] = read_json(self.overrides_yaml, list[str])
        return found

    def append_metrics(self, record: dict[str, Any]) -> None:
        """Adds one line to ``metrics.jsonl``.

        Raises:
            NonFiniteError: a value is NaN or infinite, which JSON can't hold.
            ConfigError: the folder can't be written to.
        """
        bad = [key for key, value in record.items() if isinstance(value, float) and not math.isfinite(value)]
        if bad:
            where = f"stage {record.get('stage')}, epoch {record.get('epoch')}, step {record.get('step')}"
            raise NonFiniteError(
                f"Expected finite numbers to log, got {bad} = {[record[key] for key in bad]} in {where}."
            )
        self._append(self.metrics_jsonl, record)

    def read_metrics(self) -> list[dict[str, Any]]:
        """All records of ``metrics.jsonl`` in order; a last line that a killed process left unfinished is no record.

        Raises:
            CheckpointError: a finished line is not JSON, or no record.
        """
        records = [record for _, record in read_lines(self.metrics_jsonl, documents.MetricsRecord)]
        for record in records:
            for key, value in record.items():
                if "/" in key and misfit(value, float | None) is not None:
                    raise CheckpointError(
                        f"Expected a number as {key} in {self.metrics_jsonl}, got {shown(value)}. {RESTORE}"
                    )
        return records

    def append_scores(self, record: dict[str, Any]) -> None:
        """Adds one line to ``scores.jsonl``. Raises ConfigError when the folder can't be written to."""
        self._append(self.scores_jsonl, record)

    def read_scores(self) -> list[dict[str, Any]]:
        """All records of ``scores.jsonl``, as :meth:`read_metrics` reads those of ``metrics.jsonl``."""
        return [record for _, record in read_lines(self.scores_jsonl, query_documents.Scores)]

    def append_search(self, record: dict[str, Any]) -> None:
        """Adds one line to ``searches.jsonl``. Raises ConfigError when the folder can't be written to."""
        self._append(self.searches_jsonl, record)

    def read_searches(self) -> list[dict[str, Any]]:
        """All records of ``searches.jsonl``, as :meth:`read_metrics` reads those of ``metrics.jsonl``."""
        return [record for _, record in read_lines(self.searches_jsonl, query_documents.Search)]

    def truncate_metrics(self, stage: str, step: int) -> None:
        """Drops, atomically, the records of ``stage`` later than ``step`` (all other lines stay byte for byte).

        Called when ``stage`` continues from a checkpoint taken at ``step``, so that the file of a killed and resumed
        run ends equal to that of an uninterrupted one. A record without a step is kept.
        """
        if not self.metrics_jsonl.exists():
            return
        kept = b"".join(
            line
            for line, record in read_lines(self.metrics_jsonl, documents.MetricsRecord)
            if record.get("stage") != stage or record.get("step", step) <= step
        )
        with writing_to(self.path):
            write_atomically(self.metrics_jsonl, lambda file: file.writelines([kept]))

    def _append(self, path: Path, record: dict[str, Any]) -> None:
        with writing_to(self.path):
            append_line(path, record)
