"""Dashboards beside the run folder: Weights & Biases and TensorBoard, through Lightning's loggers."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger

from dsrna.errors import ConfigError, MissingPartError
from dsrna.training.wandb_key import has_wandb_key

log = logging.getLogger("dsrna")

_MODES = ("online", "offline", "disabled")


class Dashboard:
    """One dashboard for all stages of one run, opened once and always closed, also when a stage fails.

    Args:
        node: the config's ``logger`` node; ``kind`` is ``none``, ``wandb`` or ``tensorboard``.
        folder: the run folder; local files of the dashboard go under it.
        name: the run's name there.
        config: the resolved config, shown beside the curves.
        fingerprint: the run's; with the folder's name it says which W&B run a resumed run continues.
        in_sweep: whether the run is a job of a multirun, whose jobs W&B shows as a group.

    Raises:
        ConfigError: another kind, or another W&B mode than online, offline and disabled.
        MissingPartError: TensorBoard is not installed.
    """

    def __init__(
        self,
        node: dict[str, Any],
        folder: Path,
        name: str,
        config: dict[str, Any],
        fingerprint: str,
        in_sweep: bool = False,
    ) -> None:
        kind = node.get("kind", "none")
        self._wandb: Any = None
        self._loggers: list[Logger] = []
        if kind == "wandb":
            self._open_wandb(node, folder, name, config, fingerprint, in_sweep)
        elif kind == "tensorboard":
            self._open_tensorboard(folder)
        elif kind != "none":
            raise ConfigError(f"Expected none, wandb or tensorboard, got {kind!r}. (conf: logger.kind)")

    @property
    def loggers(self) -> list[Logger]:
        """Loggers for a Trainer."""
        return self._loggers

    def log_numbers(self, numbers: Mapping[str, float], step: int) -> None:
        """Shows numbers beside those that a stage logs through :attr:`loggers`."""
        for logger in self._loggers:
            logger.log_metrics(dict(numbers), step)

    def log_pictures(self, pictures: Sequence[Path]) -> None:
        """Shows PNG files, each under its own name. Only W&B takes pictures."""
        if self._wandb is not None:
            import wandb

            self._wandb.log({f"pictures/{path.stem}": wandb.Image(str(path)) for path in pictures})

    def log_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Shows rows of equal keys as a table, numbers as numbers. Only W&B takes tables."""
        if self._wandb is not None and rows:
            import wandb

            columns = list(rows[0])
            data = [[_cell(row[column]) for column in columns] for row in rows]
            self._wandb.log({name: wandb.Table(columns=columns, data=data, allow_mixed_types=True)})

    def log_summary(self, numbers: Mapping[str, float]) -> None:
        """Notes the run's final numbers."""
        if self._wandb is not None:
            self._wandb.summary.update(dict(numbers))
        else:
            self.log_numbers(numbers, step=0)

    def close(self, failed: bool) -> None:
        """Ends the dashboard's run and marks whether it failed."""
        if self._wandb is not None:
            self._wandb.finish(exit_code=int(failed))
        else:
            for logger in self._loggers:
                logger.finalize("failed" if failed else "success")
        self._wandb, self._loggers = None, []

    def _open_wandb(
        self, node: dict[str, Any], folder: Path, name: str, config: dict[str, Any], fingerprint: str, in_sweep: bool
    ) -> None:
        import wandb
        from pytorch_lightning.loggers import WandbLogger

        mode = node.get("mode") or os.environ.get("WANDB_MODE")
        if mode is not None and mode not in _MODES:
            raise ConfigError(f"Expected one of {', '.join(_MODES)}, got {mode!r}. (conf: logger.mode, or $WANDB_MODE)")

        def open_in(mode: str) -> Any:
            return wandb.init(
                project=node.get("project") or "dsrna",
                entity=node.get("entity"),
                group=node.get("group") or (folder.parent.name if in_sweep else None),
                name=name,
                id=wandb_run_id(folder, fingerprint),
                resume=None if mode == "offline" else "allow",  # offline, `wandb sync` joins what has one id
                dir=str(folder),
                config=config,
                mode=mode,  # type: ignore[arg-type]
                reinit="finish_previous",
                # Its lines would tear the progress bar, and recording the bar would fill its log.
                settings=wandb.Settings(silent=True, console="off"),
            )

        try:
            self._wandb = open_in(mode or ("online" if has_wandb_key() else "offline"))
        except wandb.errors.CommError as error:
            if mode is not None:
                raise ConfigError(
                    f"W&B can't be reached ({str(error).splitlines()[0]}). Use logger.mode=offline. (conf: logger.mode)"
                ) from error
            log.warning("W&B can't be reached: %s", str(error).splitlines()[0])
            wandb.teardown()  # its process still holds the run's id, under which the offline one is to be uploaded
            self._wandb = open_in("offline")
        self._wandb.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        self._loggers = [WandbLogger(experiment=self._wandb, save_dir=str(folder))]
        if self._wandb.offline:
            log.info("W&B is offline; to upload the run later: wandb sync %s/offline-run-*", folder / "wandb")
        elif self._wandb.url:
            log.info("W&B: %s", self._wandb.url)

    def _open_tensorboard(self, folder: Path) -> None:
        try:
            import tensorboard  # noqa: F401
        except ImportError as error:
            raise MissingPartError(
                "logger=tensorboard needs TensorBoard: pip install 'dsrna[tensorboard]'. (conf: logger)"
            ) from error
        from pytorch_lightning.loggers import TensorBoardLogger

        self._loggers = [TensorBoardLogger(save_dir=str(folder), name="tensorboard", version="")]


def wandb_run_id(folder: Path, fingerprint: str) -> str:
    """The same for a run and its continuation, another one for every other run.

    A job of a multirun lies in a folder that is only called 0, 1, …: the sweep's folder tells sweeps apart.
    """
    folder = folder.resolve()
    identity = f"{fingerprint} {folder.parent.name} {folder.name}"
    return hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else str(value)
