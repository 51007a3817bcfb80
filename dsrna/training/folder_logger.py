"""The logger that is always on: one JSON object a line in the run folder's metrics.jsonl."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from pytorch_lightning.loggers.logger import Logger

from dsrna.run_folder import RunFolder


class FolderLogger(Logger):
    """Writes what a stage logs to ``metrics.jsonl``.

    Args:
        folder: the run folder.
        stage: noted in every record.
    """

    def __init__(self, folder: RunFolder, stage: str) -> None:
        super().__init__()
        self._folder, self._stage = folder, stage

    @property
    def name(self) -> str:
        return "metrics.jsonl"

    @property
    def version(self) -> str:
        return ""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        values = dict(metrics)
        epoch = values.pop("epoch", None)
        record: dict[str, Any] = {"stage": self._stage, "kind": "step" if epoch is None else "epoch", "step": step}
        if epoch is not None:
            record["epoch"] = int(epoch)
        self._folder.append_metrics(record | values)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The config stands in the run folder already."""
