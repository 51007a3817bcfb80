"""What a comparison costs: as its jobs took, and as a rehearsal told before there were any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import mean


@dataclass
class Costs:
    """Seconds of one process, by kind of work.

    Attributes:
        rehearsed: kind -> seconds, extrapolated.
        measured: kind -> seconds of each job that is done.
    """

    rehearsed: Mapping[str, float | None] = field(default_factory=dict)
    measured: dict[str, list[float]] = field(default_factory=dict)

    def note(self, kind: str, seconds: float) -> None:
        """A job of that kind is done."""
        self.measured.setdefault(kind, []).append(seconds)

    def of(self, kind: str) -> float | None:
        """Of one job of that kind; None where nothing is known."""
        return mean(self.measured[kind]) if kind in self.measured else self.rehearsed.get(kind)

    def total(self, kinds: Iterable[str]) -> float | None:
        """Of jobs of these kinds; None where one of them isn't known."""
        every = [self.of(kind) for kind in kinds]
        known = [seconds for seconds in every if seconds is not None]
        return sum(known) if len(known) == len(every) else None
