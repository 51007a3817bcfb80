"""The property that a classifier keeps the class of an image in a box around it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

from torch import Tensor

from dsrna.errors import UnsupportedError
from dsrna.types import Threat

DIGITS = 20
"""Significant digits of an end of a box; float64 needs 17."""


@dataclass(frozen=True)
class RobustnessProperty:
    """There is an x in the box with f_j(x) >= f_y(x) for some j != y; where there's none, the image is certified.

    Attributes:
        lower: least value of each input, in the row-major order of (C, H, W).
        upper: largest value of each input.
        label: y, the true class.
        classes: K.
    """

    lower: tuple[Decimal, ...]
    upper: tuple[Decimal, ...]
    label: int
    classes: int

    @classmethod
    def around(cls, image: Tensor, label: int, classes: int, threat: Threat) -> RobustnessProperty:
        """The property of the l_inf ball around an image, cut with [0, 1].

        The ends of the box are computed without error from the numbers given, then rounded outwards to
        :data:`DIGITS` significant digits: what is proved of the box is true of the ball.

        Args:
            image: (C, H, W) in [0, 1].
            label: its class.
            classes: K.
            threat: l_inf and its radius.

        Raises:
            UnsupportedError: the threat isn't l_inf; VNN-LIB inputs are boxes.
        """
        if threat.norm != "linf":
            raise UnsupportedError(
                f"Expected an l_inf threat for VNN-LIB, whose inputs are boxes, got {threat.label}. (conf: threat.norm)"
            )
        eps, exact = Decimal(threat.eps), Context(prec=1000)
        down, up = Context(prec=DIGITS, rounding=ROUND_FLOOR), Context(prec=DIGITS, rounding=ROUND_CEILING)
        values = [Decimal(value) for value in image.flatten().tolist()]
        return cls(
            tuple(down.plus(max(exact.subtract(value, eps), Decimal(0))) for value in values),
            tuple(up.plus(min(exact.add(value, eps), Decimal(1))) for value in values),
            int(label),
            classes,
        )
