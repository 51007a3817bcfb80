"""What a comparison trains: rows of cells, each trained from every training seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dsrna.comparing.settings import ComparisonSettings, RowSettings


@dataclass(frozen=True)
class Origin:
    """A cell of a row, before it is known.

    Attributes:
        row: name of the row.
        number: the seed of its search, or the number of the random cell; 0 of a published one.
    """

    row: str
    number: int


@dataclass(frozen=True)
class Chain:
    """One way from an origin to a result: search, training, evaluation."""

    origin: Origin
    training_seed: int


@dataclass(frozen=True)
class Plan:
    """All chains of a comparison."""

    rows: Sequence[RowSettings]
    search_seeds: Sequence[int]
    training_seeds: Sequence[int]

    @classmethod
    def of(cls, settings: ComparisonSettings) -> Plan:
        return cls(settings.rows, settings.search_seeds, settings.training_seeds)

    def origins(self, row: RowSettings) -> list[Origin]:
        """The cells of a row."""
        if row.is_searched:
            return [Origin(row.name, seed) for seed in self.search_seeds]
        return [Origin(row.name, number) for number in range(row.random or 1)]

    def like(self, origin: Origin) -> Origin | None:
        """The cell whose size a random one has; None where it has any."""
        of_row = {row.name: row for row in self.rows}
        like = of_row[origin.row].like
        if like is None:
            return None
        others = self.origins(of_row[like])
        return others[origin.number % len(others)]

    @property
    def chains(self) -> Iterator[Chain]:
        """In an order in which what is there at any moment says as much as it can.

        The first training of everything comes before any second one, the first cell of every row before any second one.
        """
        every = [self.origins(row) for row in self.rows]
        for seed in self.training_seeds:
            for place in range(max(map(len, every))):
                yield from (Chain(origins[place], seed) for origins in every if place < len(origins))
