"""A box of values inside a network: attacks in it, and how what they find moves with its ends."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from dsrna.attacks.base import required
from dsrna.distributed.group import per_image
from dsrna.functional.margins import all_margins

Values = tuple[Tensor, ...]
"""(N, ...) each: what the rest of a network takes."""

Classifier = Callable[[Values], Tensor]
"""The rest of a network: values -> logits (N, K)."""

REACH = 0.5
"""c: over this share of a box's width a point moves with the end that it is near; as in the paper."""


class Connected(NamedTuple):
    """Points of a box, connected with its ends.

    A point z moves max(0, 1 - |z - e| / (c w)) times as far as the end e of its interval of width w, c = 0.5: with an
    end where it lies there, with none in the middle. It is no derivative of what a search finds, but lets gradients
    pass from points to the layers before the box. Of an interval without width, each end moves the point half as far.

    Attributes:
        points: (R * N, ...), detached, R of each of N boxes.
        lower, upper: (N, ...) the ends when the points were found, detached.

    Source: Mao et al., Connecting Certified and Adversarial Training (NeurIPS 2023), the rectified linear connector.
    """

    points: Tensor
    lower: Tensor
    upper: Tensor

    def at(self, lower: Tensor, upper: Tensor) -> Tensor:
        """(R * N, ...) where the points are for other ends (N, ...); differentiable in these."""
        points = self.points.unflatten(0, (-1, len(lower)))
        width = self.upper - self.lower
        open_ = width > 0
        share = (points - self.lower) / torch.where(open_, width, 1.0)
        with_lower, with_upper = (
            torch.where(open_, (1 - distance / REACH).clamp(min=0), 0.5) for distance in (share, 1 - share)
        )
        moved = points + with_lower * (lower - self.lower) + with_upper * (upper - self.upper)
        return moved.flatten(0, 1)


class LatentBox(NamedTuple):
    """What intervals leave open inside a network, and the network behind.

    Attributes:
        lower, upper: the ends of each value, differentiable in the weights.
        margins: (N, K - 1) lower bounds of f_y - f_j by intervals all the way.
        classifier: the network behind, differentiable in values, weights and statistics.
        fixed_classifier: the same for searches, differentiable in the values.
    """

    lower: Values
    upper: Values
    margins: Tensor
    classifier: Classifier
    fixed_classifier: Classifier

    def worst_points(
        self, y: Tensor, steps: int, relative_step_size: float, generator: torch.Generator | None
    ) -> tuple[Connected, ...]:
        """For every image and wrong class, the point of least margin over that class that signed gradients find.

        Args:
            y: (N,) true classes.
            steps: of each search, from a random start; cost: a forward and backward pass of K - 1 batches each.
            relative_step_size: a step's length over half the width of the box, value by value.
            generator: source of the starts.
        """
        lower, upper = ([end.detach() for end in ends] for ends in (self.lower, self.upper))
        rivals, draw = self.margins.shape[1], required(generator)
        steps_of = [relative_step_size / 2 * (high - low) for low, high in zip(lower, upper, strict=True)]
        points = tuple(
            low
            + (high - low)
            * per_image(partial(torch.rand, generator=draw, dtype=low.dtype), (rivals, *low.shape), images=1).to(
                low.device
            )
            for low, high in zip(lower, upper, strict=True)
        )
        best, least = points, torch.full_like(self.margins.detach(), torch.inf)
        for step in range(steps + 1):
            points = tuple(values.detach().requires_grad_() for values in points)
            with torch.enable_grad():
                margins = self._own(self.fixed_classifier, tuple(values.flatten(0, 1) for values in points), y)
                better = margins.detach() < least
                least = torch.where(better, margins.detach(), least)
                best = tuple(
                    torch.where(_spread(better, values), values.detach(), kept)
                    for values, kept in zip(points, best, strict=True)
                )
                if step == steps:
                    break
                slopes = torch.autograd.grad(margins.sum(), points, allow_unused=True, materialize_grads=True)
            points = tuple(
                torch.minimum(torch.maximum(values - length * slope.sign(), low), high)
                for values, slope, length, low, high in zip(points, slopes, steps_of, lower, upper, strict=True)
            )
        return tuple(
            Connected(values.detach().flatten(0, 1), low, high)
            for values, low, high in zip(best, lower, upper, strict=True)
        )

    def margins_at(self, found: tuple[Connected, ...], y: Tensor) -> Tensor:
        """(N, K - 1) the margin over each wrong class at its own point, differentiable in the weights.

        Args:
            found: what :meth:`worst_points` gave.
            y: (N,) true classes.
        """
        points = tuple(
            connected.at(low, high) for connected, low, high in zip(found, self.lower, self.upper, strict=True)
        )
        return self._own(self.classifier, points, y)

    def _own(self, classifier: Classifier, points: Values, y: Tensor) -> Tensor:
        """(N, K - 1) margins over class j at the points (R * N, ...) for class j."""
        rivals = self.margins.shape[1]
        margins = all_margins(classifier(points), y.repeat(rivals)).view(rivals, len(y), rivals)
        return margins.diagonal(dim1=0, dim2=2)


def _spread(flags: Tensor, like: Tensor) -> Tensor:
    """(N, R) -> (R, N, 1, ...) beside (R, N, ...)."""
    return flags.T.reshape(*like.shape[:2], *[1] * (like.ndim - 2))
