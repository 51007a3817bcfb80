"""Logging of one run: to its run.log and, in a shorter form, to the console."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Inside, dsrna's messages go to ``path`` and the console, Lightning's chatter and all warnings to ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(path, encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    to_console = RichHandler(
        console=Console(stderr=True),
        show_path=False,
        show_time=True,
        omit_repeated_times=False,
        log_time_format="%H:%M:%S",
    )
    ours = logging.getLogger("dsrna")
    others = [
        logging.getLogger(name)
        for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric", "py.warnings")
    ]
    before = [(logger, list(logger.handlers), logger.propagate, logger.level) for logger in (ours, *others)]
    logging.captureWarnings(True)
    try:
        ours.handlers, ours.propagate = [to_file, to_console], False
        ours.setLevel(logging.INFO)
        for logger in others:
            logger.handlers, logger.propagate = [to_file], False
        with warnings.catch_warnings():
            yield
    finally:
        logging.captureWarnings(False)
        for logger, handlers, propagate, level in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
        to_file.close()
