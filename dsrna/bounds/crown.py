"""Linear relaxation of every layer."""

from __future__ import annotations

import torch
from torch import Tensor

from dsrna.bounds.interval import Interval
from dsrna.bounds.linear_relaxation import LinearRelaxation
from dsrna.bounds.relaxation import Tighten
from dsrna.bounds.substitution import Node

_ROWS_AT_ONCE = 2**24
"""Entries of the rows that are substituted at once, for memory: 64 MB in single precision for each layer that waits."""


class Crown(LinearRelaxation):
    """CROWN: a backward substitution for every value that a ReLU may cut, and for those of max poolings.

    Cost: about two backward passes for each such value, and those of CROWN-IBP.

    Source: Zhang et al., Efficient Neural Network Robustness Certification with General Activation Functions
    (NeurIPS 2018).
    """

    def tightening(self, ball: Interval) -> Tighten:
        def tighten(node: Node, interval: Interval, wanted: Tensor) -> Interval:
            # The same entries for all images of a batch, at once: a few are bounded for nothing. They are left as they
            # were, or an image's bounds would depend on its batch mates.
            wanted = wanted.flatten(1)
            entries = wanted.any(dim=0).nonzero()[:, 0]
            if len(entries) == 0:
                return interval
            low, high = interval.lower.flatten(1), interval.upper.flatten(1)
            for some in entries.split(max(1, _ROWS_AT_ONCE // (2 * len(wanted) * node.widest))):
                lower, upper = self._ends(node, some, ball)
                asked, old_low, old_high = wanted[:, some], low[:, some], high[:, some]
                low = low.index_copy(1, some, torch.where(asked, torch.maximum(old_low, lower), old_low))
                high = high.index_copy(1, some, torch.where(asked, torch.minimum(old_high, upper), old_high))
            return interval.narrowed(low.view(interval.shape), high.view(interval.shape))

        return tighten

    def least_inside(self, node: Node, rows: Tensor, ball: Interval) -> Tensor:
        """:meth:`least` for values inside the network."""
        return LinearRelaxation.least(self, node, rows, ball)

    def _ends(self, node: Node, entries: Tensor, ball: Interval) -> tuple[Tensor, Tensor]:
        """Bounds (N, R) of R entries of a node."""
        images, count = node.shape[0], len(entries)
        rows = ball.centre.new_zeros(2 * count, images, node.shape[1:].numel())
        place = torch.arange(count, device=rows.device)
        rows[place, :, entries] = 1
        rows[count + place, :, entries] = -1
        least = self.least_inside(node, rows.view(-1, *node.shape), ball)
        return least[:, :count], -least[:, count:]
