"""The genotype that the operation weights stand for."""

from __future__ import annotations

from dsrna.strategies.selection.base import Selected, Selection, TrainedSearch


class Argmax(Selection):
    """What the space derives from the expected operation weights, as DARTS does. Costs nothing."""

    def select(self, search: TrainedSearch) -> Selected:
        """See :class:`dsrna.strategies.selection.base.Selection`."""
        return Selected(search.space.derive(search.weights))
