"""Linear relaxation of every layer."""

from __future__ import annotations

import torch
from torch import Tensor

from dsrna.bounds.interval import Interval
from dsrna.bounds.linear_relaxation import LinearRelaxation
from dsrna.bounds.relaxation import Tighten
from dsrna.bounds.substitution import Node, lower_functions

_ROWS_AT_ONCE = 2**20
"""Entries of the rows that are substituted at once: 4 MB in single precision, which stay in a cache."""


class Crown(LinearRelaxation):
    """CROWN: a backward substitution for every value that a ReLU may cut, and for those of max poolings.

    Cost: about two backward passes for each such value, and those of CROWN-IBP.

    Source: Zhang et al., Efficient Neural Network Robustness Certification with General Activation Functions
    (NeurIPS 2018).
    """

    def tightening(self, ball: Interval) -> Tighten:
        def tighten(node: Node, interval: Interval, wanted: Tensor) -> Interval:
            # As many entries of each image as the one has that needs most: the others bound a few for nothing. They are
            # left as they were, or an image's bounds would depend on its batch mates.
            wanted = wanted.flatten(1)
            most = int(wanted.sum(dim=1).max()) if wanted.numel() else 0
            if most == 0:
                return interval
            entries = wanted.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :most]
            low, high = interval.lower.flatten(1), interval.upper.flatten(1)
            for some in entries.split(max(1, _ROWS_AT_ONCE // (2 * len(wanted) * node.widest)), dim=1):
                lower, upper = self.ends_inside(node, _one_hot(some, node, low.dtype), ball)
                asked, old_low, old_high = wanted.gather(1, some), low.gather(1, some), high.gather(1, some)
                low = low.scatter(1, some, torch.where(asked, torch.maximum(old_low, lower), old_low))
                high = high.scatter(1, some, torch.where(asked, torch.minimum(old_high, upper), old_high))
            return interval.narrowed(low.view(interval.shape), high.view(interval.shape))

        return tighten

    def ends_inside(self, node: Node, rows: Tensor, ball: Interval) -> tuple[Tensor, Tensor]:
        """Rows (R, N, ...) over a value inside the network -> (N, R) bounds of rows . value, from below and above."""
        count = len(rows)
        least = self.concretised(lower_functions(node, rows, with_opposite=True), ball)
        return least[:, :count], -least[:, count:]


def _one_hot(entries: Tensor, node: Node, dtype: torch.dtype) -> Tensor:
    """(N, R) entries of a node for each image -> (R, N, ...) rows, one for each."""
    rows = torch.zeros(entries.shape[1], len(entries), node.shape[1:].numel(), device=entries.device, dtype=dtype)
    return rows.scatter_(2, entries.T.unsqueeze(2), 1.0).view(-1, *node.shape)
