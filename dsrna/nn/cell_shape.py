"""The numbers that fix a cell's tensors, whatever is inside it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CellShape:
    """Channels and map sizes of one cell.

    Attributes:
        channels_before_previous: channels of the output of the cell before the previous one.
        channels_previous: channels of the output of the previous cell.
        channels: channels of every node.
        reduction: whether the edges that leave the input nodes have stride 2.
        follows_reduction: whether the previous cell halved the map, so that the output before it is twice as large.
        adapted: whether the outputs of the cells before are brought to ``channels``; else they are the input nodes.
    """

    channels_before_previous: int
    channels_previous: int
    channels: int
    reduction: bool
    follows_reduction: bool
    adapted: bool = True
