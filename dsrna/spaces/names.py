"""Messages for names that don't exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def unknown_name(kind: str, name: object, choices: Iterable[str]) -> str:
    """Text for an error: what came, what there is, and the nearest name where one is near.

    >>> unknown_name("colour", "gren", ["red", "green"])
    "unknown colour 'gren'; choose from red, green; nearest: green"
    """
    known = list(choices)
    nearest = get_close_matches(str(name), known, n=1)
    hint = f"; nearest: {nearest[0]}" if nearest else ""
    return f"unknown {kind} {name!r}; choose from {', '.join(known)}{hint}"
