"""Dashboards beside the run folder: Weights & Biases and TensorBoard, through Lightning's loggers."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger

from dsrna.errors import ConfigError, MissingPartError

log = logging.getLogger("dsrna")


class Dashboard:
    """One dashboard for all stages of one run, opened once and always closed, also when a stage fails.

    Args:
        node: the config's ``logger`` node; ``kind`` is ``none``, ``wandb`` or ``tensorboard``.
        folder: the run folder; local files of the dashboard go under it.
        name: the run's name there.
        config: the resolved config, shown beside the curves.
        identity: the run's fingerprint: a resumed run continues the same W&B run.

    Raises:
        ConfigError: another kind.
        MissingPartError: TensorBoard is not installed.
    """

    def __init__(self, node: dict[str, Any], folder: Path, name: str, config: dict[str, Any], identity: str) -> None:
        kind = node.get("kind", "none")
        self._wandb: Any = None
        self._loggers: list[Logger] = []
        if kind == "wandb":
            self._open_wandb(node, folder, name, config, identity)
        elif kind == "tensorboard":
            self._open_tensorboard(folder)
        elif kind != "none":
            raise ConfigError(f"Expected none, wandb or tensorboard, got {kind!r}. (conf: logger.kind)")

    @property
    def loggers(self) -> list[Logger]:
        """Loggers for a Trainer."""
        return self._loggers

    def log_pictures(self, pictures: Sequence[Path]) -> None:
        """Shows PNG files, each under its own name."""
        if self._wandb is not None:
            import wandb

            self._wandb.log({f"pictures/{path.stem}": wandb.Image(str(path)) for path in pictures})

    def log_table(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        """Shows rows of equal keys as a table."""
        if self._wandb is not None and rows:
            import wandb

            columns = list(rows[0])
            self._wandb.log({name: wandb.Table(columns=columns, data=[[str(row[c]) for c in columns] for row in rows])})

    def log_summary(self, numbers: dict[str, float]) -> None:
        """Notes the run's final numbers."""
        if self._wandb is not None:
            self._wandb.summary.update(numbers)
        for logger in self._loggers if self._wandb is None else []:
            logger.log_metrics(numbers)

    def close(self, failed: bool) -> None:
        """Ends the dashboard's run and marks whether it failed."""
        if self._wandb is not None:
            self._wandb.finish(exit_code=int(failed))
            self._wandb = None
        else:
            for logger in self._loggers:
                logger.finalize("failed" if failed else "success")

    def _open_wandb(self, node: dict[str, Any], folder: Path, name: str, config: dict[str, Any], identity: str) -> None:
        import wandb
        from pytorch_lightning.loggers import WandbLogger

        mode: Any = node.get("mode") or os.environ.get("WANDB_MODE") or ("online" if has_wandb_key() else "offline")
        self._wandb = wandb.init(
            project=node.get("project") or "dsrna",
            entity=node.get("entity"),
            group=node.get("group") or (folder.parent.name if folder.name.isdigit() else None),
            name=name,
            id=f"{identity[:16]}-{folder.name[-40:]}".replace(":", "-"),
            resume="allow",
            dir=str(folder),
            config=config,
            mode=mode,
            reinit="finish_previous",
        )
        self._loggers = [WandbLogger(experiment=self._wandb, save_dir=str(folder))]
        if mode == "offline":
            log.info("wandb is offline (no key): `wandb sync %s` uploads the run later", folder / "wandb")

    def _open_tensorboard(self, folder: Path) -> None:
        try:
            import tensorboard  # noqa: F401
        except ImportError as error:
            raise MissingPartError(
                "logger=tensorboard needs TensorBoard: pip install 'dsrna[tensorboard]'. (conf: logger)"
            ) from error
        from pytorch_lightning.loggers import TensorBoardLogger

        self._loggers = [TensorBoardLogger(save_dir=str(folder), name="tensorboard", version="")]


def has_wandb_key() -> bool:
    """Whether wandb would find a key: in the environment or in the user's netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        return "api.wandb.ai" in netrc.read_text()
    except OSError:
        return False
