"""What is known about one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["certified", "attacked", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """Between which radii the answer of the network changes first, as far as it is known.

    Attributes:
        certified: the largest radius in whose ball no image is misclassified, by a proof; 0 where nothing was proved.
        attacked: distance of the nearest misclassified point that was found; 0 for an image that is misclassified as it
            is, None where none was found.
        engine: the engine of that proof; None where nothing was proved.
        stopped: why no more bounds were computed: ``"time limit"``, ``"out of memory"``, or empty.
        seconds: spent on this image's bounds.
    """

    certified: float
    attacked: float | None
    engine: str | None = None
    stopped: str = ""
    seconds: float = 0.0

    @property
    def correct(self) -> bool:
        """Whether the image itself is classified correctly."""
        return self.attacked != 0

    def at(self, eps: float) -> State:
        """The image's state for a ball of radius ``eps`` > 0.

        >>> [Verdict(certified=0.1, attacked=0.3).at(eps) for eps in (0.1, 0.2, 0.3)]
        ['certified', 'undecided', 'attacked']
        """
        if self.attacked is not None and eps >= self.attacked:
            return "attacked"
        return "certified" if eps <= self.certified else "undecided"
