"""The numbers that fix a cell's tensors, whatever is inside it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CellShape:
    """Channels and strides of one cell.

    Attributes:
        channels_before_previous: channels of the cell's first input, the output of the cell before the previous one.
        channels_previous: channels of its second input, the output of the previous cell.
        channels: channels of every node.
        reduction: whether the edges that leave the two inputs have stride 2.
        follows_reduction: whether the previous cell halved the map, so that the first input is twice as large.
    """

    channels_before_previous: int
    channels_previous: int
    channels: int
    reduction: bool
    follows_reduction: bool

    def stride(self, source: int) -> int:
        """Stride of an edge that leaves node ``source``; nodes 0 and 1 are the cell's inputs."""
        return 2 if self.reduction and source < 2 else 1
