"""What is proved of a batch of images so far."""

from __future__ import annotations

from collections.abc import Sequence

import torch


class Certificates:
    """Proved radii of N images, with what it took to get them.

    Args:
        count: N.
        engines: names of the engines.

    Attributes:
        low: (N,) float64, the largest radius proved; 0 for none.
        high: (N,) float64, the smallest radius at which no engine found a proof; infinity for none.
        engine: for each image the name of the engine that proved ``low``, or None.
        failed: engine -> (N,) float64, the smallest radius at which it found no proof; infinity for none, 0 where it
            ran out of memory on the image alone.
        seconds: (N,) float64, time spent on bounds.
        late: (N,) bool, whether that time has reached its limit.
        too_large: (N,) bool, whether an engine ran out of memory on the image alone.
    """

    def __init__(self, count: int, engines: Sequence[str]) -> None:
        self.low = torch.zeros(count, dtype=torch.float64)
        self.high = torch.full_like(self.low, torch.inf)
        self.engine: list[str | None] = [None] * count
        self.failed = {name: self.high.clone() for name in engines}
        self.seconds = torch.zeros_like(self.low)
        self.late = torch.zeros(count, dtype=torch.bool)
        self.too_large = torch.zeros(count, dtype=torch.bool)

    def stopped(self, image: int) -> str:
        """Why no more bounds were computed for an image, or an empty text."""
        if self.late[image]:
            return "time limit"
        return "out of memory" if self.too_large[image] else ""
