"""Weights & Biases."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsrna.errors import ConfigError
from dsrna.training.dashboards.base import About, Dashboard, FileKind, OpenDashboard
from dsrna.training.dashboards.wandb_key import has_wandb_key

log = logging.getLogger("dsrna")

_MODES = ("online", "offline", "disabled")


@dataclass(frozen=True)
class Wandb(Dashboard):
    """A run of Weights & Biases; offline where there is no key or no network.

    Attributes:
        project, entity: where it is.
        group: of runs; None for the sweep's folder in a multirun.
        job_type: None for the run's first stage.
        tags, notes: as W&B shows them.
        artifacts: whether genotype, trained networks and report are kept as artifacts.
        mode: ``online``, ``offline``, ``disabled``, or None: by whether there is a key.

    Raises:
        ConfigError: another mode.
    """

    project: str = "dsrna"
    entity: str | None = None
    group: str | None = None
    job_type: str | None = None
    tags: Sequence[str] = ()
    notes: str | None = None
    artifacts: bool = True
    mode: str | None = None

    def __post_init__(self) -> None:
        self._mode()

    def _mode(self) -> str | None:
        mode = self.mode or os.environ.get("WANDB_MODE")
        if mode is not None and mode not in _MODES:
            raise ConfigError(
                f"Expected one of {', '.join(_MODES)}, got {mode!r}, here or in $WANDB_MODE. (conf: mode)"
            )
        return mode

    def open(self, about: About) -> OpenDashboard:
        """See :meth:`Dashboard.open`."""
        import wandb

        mode = self._mode()
        in_a_sweep = "WANDB_SWEEP_ID" in os.environ  # of `wandb agent`, which has named the run

        def open_in(mode: str) -> Any:
            return wandb.init(
                project=self.project,
                entity=self.entity,
                group=self.group or (about.folder.parent.name if about.in_sweep else None),
                name=about.name,
                id=None if in_a_sweep else about.identity,
                resume=None if mode == "offline" or in_a_sweep else "allow",  # offline, `wandb sync` joins one id's
                dir=str(about.folder),
                config=dict(about.config),
                tags=list(self.tags) or None,
                notes=self.notes,
                job_type=self.job_type or next(iter(about.stages), None),
                mode=mode,  # type: ignore[arg-type]
                reinit="finish_previous",
                # Its lines would tear the progress bar, and recording the bar would fill its log.
                settings=wandb.Settings(silent=True, console="off"),
            )

        try:
            run = open_in(mode or ("online" if has_wandb_key() else "offline"))
        except wandb.errors.CommError as error:
            if mode is not None:
                raise ConfigError(
                    f"W&B can't be reached ({str(error).splitlines()[0]}). Use logger.wandb.mode=offline. "
                    "(conf: logger.wandb.mode)"
                ) from error
            log.warning("W&B can't be reached: %s", str(error).splitlines()[0])
            wandb.teardown()  # its process still holds the run's id, under which the offline one is to be uploaded
            run = open_in("offline")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        if run.offline:
            log.info("W&B is offline; to upload the run later: wandb sync %s/offline-run-*", about.folder / "wandb")
        elif run.url:
            log.info("W&B: %s", run.url)
        return OpenWandb(run, about.folder, self.artifacts)


class OpenWandb(OpenDashboard):
    """A W&B run: numbers, pictures, tables, and files as artifacts.

    An artifact is named after its file's content, so that a run which starts from what another one wrote is shown as
    coming from it.
    """

    def __init__(self, run: Any, folder: Path, artifacts: bool) -> None:
        from pytorch_lightning.loggers import WandbLogger

        super().__init__(WandbLogger(experiment=run, save_dir=str(folder)))
        self._run, self._artifacts = run, artifacts

    def log_pictures(self, pictures: Sequence[Path]) -> None:
        import wandb

        self._run.log({f"pictures/{path.stem}": wandb.Image(str(path)) for path in pictures})

    def log_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Numbers stay numbers."""
        import wandb

        columns = list(rows[0])
        data = [[_cell(row[column]) for column in columns] for row in rows]
        self._run.log({name: wandb.Table(columns=columns, data=data, allow_mixed_types=True)})

    def log_summary(self, numbers: Mapping[str, float]) -> None:
        self._run.summary.update(dict(numbers))

    def log_file(self, kind: FileKind, path: Path) -> None:
        if self._artifacts:
            self._run.log_artifact(_artifact(kind, path))

    def log_source(self, kind: FileKind, path: Path) -> None:
        if self._artifacts and not self._run.offline:  # W&B can't use an artifact offline
            self._run.use_artifact(_artifact(kind, path))

    def close(self, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


def _artifact(kind: FileKind, path: Path) -> Any:
    import wandb

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    artifact = wandb.Artifact(f"{kind}-{digest[:16]}", type=kind, metadata={"sha256": digest})
    artifact.add_file(str(path))
    return artifact


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else str(value)
