"""Logging of one run: to its run.log and, in a shorter form, to the console."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.text import Text

from dsrna.console import terminal
from dsrna.errors import DsrnaError

_STYLES = {logging.INFO: "", logging.WARNING: "yellow", logging.ERROR: "bold red"}


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Inside, dsrna's messages go to ``path`` and the console, Lightning's chatter and all warnings to ``path``.

    An exception that leaves the block is noted in ``path`` alone: on the console it is the caller's to show.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(path, encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    to_console = _ToTerminal()
    to_console.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
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
    except Exception as error:
        known = isinstance(error, DsrnaError)
        note = {"levelname": "ERROR", "name": ours.name, "msg": "%s", "args": (error,)}
        to_file.handle(logging.makeLogRecord(note | ({} if known else {"exc_info": sys.exc_info()})))
        raise
    finally:
        logging.captureWarnings(False)
        for logger, handlers, propagate, level in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
        to_file.close()


class _ToTerminal(logging.Handler):
    """One message, one line: the terminal may wrap it, but paths and commands can be copied whole."""

    def emit(self, record: logging.LogRecord) -> None:
        text = Text(self.format(record), style=_STYLES.get(record.levelno, ""))
        terminal().print(text, soft_wrap=True)
