"""Forms of the certified metric that a search is tried with, and that aren't part of dsrna."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.functional.gradient_norm import image_gradient, slope_along
from dsrna.functional.margins import margin
from dsrna.functional.norms import dual_direction
from dsrna.functional.precision import full_precision
from dsrna.metrics.certified import Certified

DIFFERENCE_STEP = 0.01


class Lowered(Certified):
    """Minus the score of :class:`~dsrna.metrics.certified.Certified`."""

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        return -super().score(model, x, y, generator)


class Tightness(Certified):
    """ln(D / C), at most about 0: C = m - min_j L_j is what the bound takes from the margin m, D what an attack takes.

    D = -<dm/dx, d>, to first order, with d the steepest way within the l_inf ball and [0, 1]; its derivative is that of
    a central difference along d. It says how loose the bounds of an architecture are, which certified training has to
    make up for, and nothing about how robust it is: a fragile network may score higher than a robust one.
    """

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        eps = self._eps_for(model, x, y)
        bounds = self._engine.summary(model, x, eps, y, "min")
        self._take_note(eps, bounds)

        def margins_of(images: Tensor) -> Tensor:
            with full_precision():  # as the bounds that they are compared with
                return margin(model(images), y)

        gradient = image_gradient(margins_of, x)
        # Cut as a difference: at the eps of a supernet, x + d is x in single precision.
        way = (-eps * dual_direction(gradient, "linf")).maximum(-x).minimum(1 - x)
        taken = -(gradient * way).flatten(1).sum(dim=1)
        if torch.is_grad_enabled():
            slope = slope_along(margins_of, x, way, DIFFERENCE_STEP)
            taken = taken - (slope - slope.detach())
        allowed = margins_of(x) - bounds.lower
        none = allowed.detach() <= 0  # a network that ignores its input
        least = torch.finfo(x.dtype).tiny
        ratio = taken.clamp(min=least).log() - allowed.masked_fill(none, 1).clamp(min=least).log()
        return ratio.masked_fill(none, 0)
