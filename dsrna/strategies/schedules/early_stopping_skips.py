"""Early stopping by the number of skip connections."""

from __future__ import annotations

from collections.abc import Mapping

from dsrna.errors import ConfigError
from dsrna.spaces.names import unknown_name
from dsrna.spaces.search_space import SearchSpace
from dsrna.strategies.architecture import Architecture
from dsrna.strategies.operation_counts import SKIP, operation_counts
from dsrna.strategies.schedules.base import RunningSearch, SearchSchedule


class EarlyStoppingSkips(SearchSchedule):
    """Ends the search after the first epoch whose derived cell has ``limit`` or more skip connections.

    The cell of that epoch is what is derived. Epochs of the warm-up don't count.

    Args:
        limit: skip connections in a cell, >= 1.
        cell_types: whose cells are looked at; None for the space's first type, the normal cell.

    Raises:
        ConfigError: ``limit`` is below 1.

    Source: Liang et al., DARTS+ (2019), criterion 1: two skip connections in a normal cell.
    """

    def __init__(self, limit: int = 2, cell_types: list[str] | None = None) -> None:
        if limit < 1:
            raise ConfigError(f"Expected `limit` >= 1, got {limit}. (conf: limit)")
        self.limit, self.cell_types = limit, cell_types

    def check(self, space: SearchSpace, architecture: Architecture, warmup: int, epochs: int) -> None:
        """See :class:`SearchSchedule`."""
        if SKIP not in space.primitives:
            raise ConfigError(f"There is no {SKIP} among the primitives, whose number could stop the search.")
        for name in self.cell_types or []:
            if name not in space.cell_types:
                raise ConfigError(f"{unknown_name('cell type', name, space.cell_types)} (conf: cell_types)")

    def end_epoch(self, search: RunningSearch, searching: bool) -> Mapping[str, float]:
        """See :class:`SearchSchedule`."""
        counts = operation_counts(search.genotype())
        for name in self.cell_types or search.space.cell_types[:1]:
            skips = counts[name].get(SKIP, 0)
            if searching and skips >= self.limit:
                search.stop(f"{skips} skip connections in the {name} cell, the limit is {self.limit}")
                break
        return {}
