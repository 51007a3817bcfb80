"""What a notation finds in a text."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One genotype in a text, found and not yet read.

    Attributes:
        name: what it is assigned to; None where it has no name.
        line: where it begins, from 1.
        read: its document, see :mod:`dsrna.spaces.genotype_codec`; raises GenotypeError where it is malformed.
    """

    name: str | None
    line: int
    read: Callable[[], dict[str, Any]]


class Lines:
    """The line numbers of positions in a text."""

    def __init__(self, text: str) -> None:
        self._starts = list(
            accumulate((len(line) for line in text.split("\n")), lambda start, n: start + n + 1, initial=0)
        )

    def at(self, position: int) -> int:
        """The line of a position, from 1."""
        return bisect_right(self._starts, position)


def segments(starts: Sequence[int], length: int) -> list[tuple[int, int]]:
    """(start, stop) of the parts of a text that begin at ``starts``; each ends where the next one begins."""
    return list(zip(starts, [*starts[1:], length], strict=False))
