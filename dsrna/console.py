"""The two consoles. What is printed appears as typed: no name, path or title is read as markup or an emoji code."""

from __future__ import annotations

from functools import cache
from typing import IO

from rich.console import Console


@cache
def terminal() -> Console:
    """The one console of standard error: what is written through it goes above a progress bar, not into it."""
    return plain_console(stderr=True)


def output() -> Console:
    """Standard output, for results."""
    return plain_console()


def plain_console(
    *, stderr: bool = False, file: IO[str] | None = None, force_terminal: bool | None = None, width: int | None = None
) -> Console:
    """A console without markup, emoji codes or highlighting; a style is given by ``style=`` or ``rich.text.Text``."""
    return Console(
        stderr=stderr,
        file=file,
        force_terminal=force_terminal,
        width=width,
        markup=False,
        emoji=False,
        highlight=False,
    )
