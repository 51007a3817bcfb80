"""Max pooling in a backward substitution."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from dsrna.bounds.interval import Interval
from dsrna.bounds.lines import plane_above_maximum
from dsrna.bounds.substitution import Node, Substituted, dot

Pair = tuple[int, int]


class MaximumNode(Node):
    """The maxima of windows of a map: above one entry of each window, below a plane over all of them.

    The entry below is the one with the largest lower end; where no other can be larger, the maximum is that entry.

    Args:
        source: the node of the map.
        interval: of the map (N, C, H, W).
        kernel, stride, padding, dilation: of the pooling, (vertical, horizontal).
        ceil_mode: of the pooling.
    """

    def __init__(
        self,
        source: Node,
        interval: Interval,
        kernel: Pair,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        ceil_mode: bool,
    ) -> None:
        low, high = interval.lower, interval.upper
        with torch.no_grad():
            floor, first = F.max_pool2d(low, kernel, stride, padding, dilation, ceil_mode, return_indices=True)
            windows = _Windows(low, floor, kernel, stride, padding, dilation)
            places = windows.of(torch.arange(low[0, 0].numel(), dtype=torch.float64).view(1, 1, *low.shape[2:]), -1.0)
            places = places[0, 0].long().to(low.device)  # (k, L)
            self._first = first.flatten(2)
            rival = (windows.of(high, -math.inf) > floor.flatten(2).unsqueeze(2)) & (places != self._first.unsqueeze(2))
            self._open = rival.any(dim=2)  # (N, C, L): windows where more than one entry can be the maximum
        super().__init__(floor.shape, (source,))
        image, channel, window = self._open.nonzero(as_tuple=True)
        places = places.T[window]
        entries = (image[:, None], channel[:, None], places.clamp(min=0))
        slopes, intercept = plane_above_maximum(
            *(end.flatten(2)[entries].where(places >= 0, -math.inf) for end in (low, high))
        )
        self._windows = (image, channel, window)
        self._slopes = slopes
        self._intercept = low.new_zeros(self._open.shape).index_put((image, channel, window), intercept)
        self._targets = (image[:, None] * low.shape[1] + channel[:, None]) * windows.map_size + places.clamp(min=0)

    @property
    def at_stake(self) -> Tensor:
        """(N, C, H, W) bool: entries in a window where more than one entry can be the maximum."""
        (source,) = self.inputs
        flags = torch.zeros(source.shape.numel(), dtype=torch.bool, device=self._targets.device)
        return flags.index_fill(0, self._targets.flatten(), True).view(source.shape)

    def substitute(self, rows: Tensor) -> Substituted:
        flat = rows.flatten(3)
        negative = -(-flat).relu()
        count, (source,) = len(rows), self.inputs
        single = torch.where(self._open, flat - negative, flat)
        substituted = rows.new_zeros(*flat.shape[:3], source.shape[2:].numel())
        substituted = substituted.scatter_add(3, self._first.expand(count, *self._first.shape), single)
        image, channel, window = self._windows
        spread = negative[:, image, channel, window].unsqueeze(2) * self._slopes
        substituted = substituted.view(count, -1).index_add(1, self._targets.flatten(), spread.flatten(1))
        return Substituted((substituted.view(count, *source.shape),), dot(negative, self._intercept))


class _Windows:
    """Where the windows of a pooling are."""

    def __init__(
        self, values: Tensor, pooled: Tensor, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
    ) -> None:
        self.map_size = values[0, 0].numel()
        self._settings = (kernel, dilation, 0, stride)
        # What the windows span: more than the padded map where they are rounded up, less where some is left over.
        below, right = (
            (pooled.shape[2 + i] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 - values.shape[2 + i] - padding[i]
            for i in (0, 1)
        )
        self._pad = (padding[1], right, padding[0], below)

    def of(self, values: Tensor, outside: float) -> Tensor:
        """(N, C, H, W) -> (N, C, k, L)."""
        padded = F.pad(values, self._pad, value=outside)
        return F.unfold(padded, *self._settings).unflatten(1, (values.shape[1], -1))
