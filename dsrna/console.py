"""The two consoles. What is printed appears as typed: no name, path or title is read as markup or an emoji code."""

from __future__ import annotations

from functools import cache
from typing import IO, cast

from rich.console import Console

from dsrna.streams import StandardStream


@cache
def terminal() -> Console:
    """The one console of standard error: what is written through it goes above a progress bar, not into it."""
    return plain_console(file=StandardStream("stderr"))


def output() -> Console:
    """Standard output, for results. Printing raises OutputError where that can't be written to."""
    return plain_console(file=StandardStream("stdout"))


def echo(text: str) -> None:
    """A message to the user, on one line, so that what is in it can be copied whole."""
    terminal().print(text, soft_wrap=True)


def plain_console(
    *, file: IO[str] | StandardStream, force_terminal: bool | None = None, width: int | None = None
) -> Console:
    """A console without markup, emoji codes or highlighting; a style is given by ``style=`` or ``rich.text.Text``."""
    return Console(
        file=cast(IO[str], file),
        force_terminal=force_terminal,
        width=width,
        markup=False,
        emoji=False,
        highlight=False,
    )
