"""Radii on the x axis of a picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dsrna.report.results import NORM_NAMES
from dsrna.report.style import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class EpsAxis:
    """How radii of one norm are shown: in 1/255 where all of them are whole numbers of it.

    Attributes:
        scale: what a radius is multiplied with.
        label: the axis' label.
    """

    scale: int
    label: str

    @classmethod
    def of(cls, norm: str, radii: Iterable[float]) -> EpsAxis:
        """The axis for these radii."""
        scale = 255 if norm == "linf" and all(abs(eps * 255 - round(eps * 255)) < 1e-6 for eps in radii) else 1
        symbol = NORM_NAMES.get(norm, norm)
        units = "in 1/255 of the pixel range" if scale == 255 else "pixels in [0, 1]"
        return cls(scale, f"eps of the {symbol} ball ({units})")

    def mark(self, axes: Axes, eps: float) -> None:
        """A vertical line at the report's eps."""
        unit = "/255" if self.scale == 255 else ""
        axes.axvline(eps * self.scale, color=INK, linewidth=1.1, linestyle="--", gid="threat")
        axes.annotate(
            f" eps = {eps * self.scale:.4g}{unit}",
            (eps * self.scale, 1.0),
            xycoords=("data", "axes fraction"),
            fontsize=8.5,
            color=INK,
            va="top",
        )
