"""One progress bar for all long work: the numbers that matter and the time left; quiet where nobody can watch it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from dsrna.console import plain_console, terminal

log = logging.getLogger("dsrna")


class Progress:
    """A bar on a terminal and in a notebook; elsewhere nothing but a log line now and then.

    Use it as a context manager; :meth:`advance` moves it on and shows numbers beside it.

    Args:
        title: what is going on, e.g. ``"search"``.
        total: how many steps there are.
        done: how many of them were done before (a resumed run).
        mode: ``"auto"`` (a bar on a terminal and in a notebook), ``"on"`` (a bar anywhere) or ``"off"``.
        every_seconds: without a bar, a log line at most this often.
    """

    def __init__(
        self, title: str, total: int, *, done: int = 0, mode: str = "auto", every_seconds: float = 30.0
    ) -> None:
        console = terminal()
        if mode == "on" and not console.is_terminal:
            console = plain_console(file=console.file, force_terminal=True)
        self._title, self._total, self._done = title, total, done
        self._shown = mode == "on" or (mode == "auto" and (console.is_terminal or console.is_jupyter))
        self._quiet = mode == "off"
        self._every, self._last_line = every_seconds, time.monotonic()
        self._before, self._began = done, self._last_line
        self._rich = RichProgress(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[numbers]}", markup=False),
            console=console,
            disable=not self._shown,
            transient=True,
        )
        self._task = self._rich.add_task(title, total=total, completed=done, numbers="")

    @property
    def total(self) -> int:
        """How many steps there are."""
        return self._total

    def __enter__(self) -> Progress:
        self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rich.stop()

    def advance(self, steps: int, numbers: Mapping[str, float | str]) -> None:
        """Moves on by ``steps`` and shows ``numbers``, e.g. ``{"loss": 1.2}``."""
        self._done += steps
        text = "  ".join(f"{name} {_short(value)}" for name, value in numbers.items())
        self._rich.update(self._task, advance=steps, numbers=text)
        now = time.monotonic()
        if not self._shown and not self._quiet and now - self._last_line > self._every:
            self._last_line = now
            log.info("%s: %d of %d%s  %s", self._title, self._done, self._total, self._left(now), text)

    def _left(self, now: float) -> str:
        """As if the rest went as fast as what was done here."""
        done, seconds = self._done - self._before, now - self._began
        if done <= 0 or self._done >= self._total:
            return ""
        return f", about {duration(seconds / done * (self._total - self._done))} left"

    def reach(self, done: int, total: int, numbers: Mapping[str, float | str]) -> None:
        """Moves on until ``done`` of ``total`` steps are done, for work that only finds out how many there are."""
        self._total = total
        self._rich.update(self._task, total=total)
        self.advance(done - self._done, numbers)


def duration(seconds: float) -> str:
    """A time for people.

    >>> duration(8), duration(95), duration(8000), duration(400000)
    ('8 s', '2 min', '2 h 13 min', '4 days 15 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} days {hours % 24} h"


def _short(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else value
