"""What every bound engine shares."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Literal, NamedTuple, Self, TypeVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.bounds.place import naming_the_module
from dsrna.bounds.rounding import unit_roundoff
from dsrna.errors import ConfigError, DataError
from dsrna.functional.norms import image_norm
from dsrna.functional.precision import full_precision
from dsrna.nn.modes import evaluation_mode
from dsrna.types import Norm


class MarginSummary(NamedTuple):
    """What a search needs to know of the margins of each image.

    Attributes:
        lower: (N,) lower bound of the smallest margin, or of the mean margin over the wrong classes.
        width: (N,) how wide the bounds are: of that margin, or the mean over the margins.
        spread: (N,) standard deviation over the classes of the logits in the middle of their intervals.
    """

    lower: Tensor
    width: Tensor
    spread: Tensor


Reduction = Literal["min", "mean"]

Result = TypeVar("Result")


class Bounds(NamedTuple):
    """Lower and upper ends, entry by entry.

    Attributes:
        lower: (N, K) for logits, (N, K - 1) for margins.
        upper: of the same shape.
    """

    lower: Tensor
    upper: Tensor

    @classmethod
    def ordered(cls, lower: Tensor, upper: Tensor) -> Bounds:
        """Of two ends that came about in different ways: at tiny radii rounding may exchange them."""
        return cls(torch.minimum(lower, upper), torch.maximum(lower, upper))

    def except_for(self, undefined: Tensor | None) -> Bounds:
        """With minus infinity and infinity for some images (N,), of which nothing is known."""
        if undefined is None or not bool(undefined.any()):
            return self
        where = undefined[:, None]
        return Bounds(self.lower.masked_fill(where, -math.inf), self.upper.masked_fill(where, math.inf))


class BoundEngine(ABC):
    """Sound bounds of a network's logits or margins over a ball around each image, cut with [0, 1].

    The network is bounded as it is in evaluation mode: BatchNorm with its running statistics, dropout and drop-path
    off. Afterwards it is as before: training flags, requires_grad, buffers and ``.grad``. A bound is a claim, so it is
    computed in the images' own precision, without TF32 and outside of autocast, wherever it is asked for.

    A subclass writes :meth:`bound`.

    Args:
        norm: ``"linf"`` or ``"l2"``.
        batch_size: at most so many images are bounded at once, to bound memory; None for all.

    Raises:
        ConfigError: a setting is out of range.
    """

    def __init__(self, norm: Norm = "linf", batch_size: int | None = None) -> None:
        if norm not in ("linf", "l2"):
            raise ConfigError(f"Expected `norm` to be 'linf' or 'l2', got {norm!r}. (conf: norm)")
        if batch_size is not None and batch_size < 1:
            raise ConfigError(f"Expected `batch_size` >= 1 or none, got {batch_size}. (conf: batch_size)")
        self.norm = norm
        self.batch_size = batch_size
        self._precision: torch.dtype | None = None

    def allowing_for(self, precision: torch.dtype) -> Self:
        """The same engine, whose bounds also hold for the network as it is computed in a floating point format.

        They are widened by what rounding can change on the way, by the magnitudes inside the network, in the network
        and in the bounds' own arithmetic; see :class:`~dsrna.bounds.interval.Interval`. Where they are above 0, the
        network keeps its class on real numbers and in that format.

        Args:
            precision: in which the network is used, such as ``torch.float32``. The bounds may be asked for in a finer
                one, by the network and images in it.
        """
        engine = copy(self)
        engine._precision = precision
        return engine

    def unit(self, x: Tensor) -> float:
        """The unit of rounding to allow for, in the network and in bounds in the precision of ``x``; 0 for none."""
        return 0.0 if self._precision is None else unit_roundoff(self._precision) + unit_roundoff(x.dtype)

    @final
    def __call__(self, model: nn.Module, x: Tensor, eps: float | Tensor, y: Tensor | None = None) -> Bounds:
        """Bounds of f(x') or of f_y(x') - f_j(x') over every x' in the ball around x that lies in [0, 1].

        Sound up to floating point rounding. Differentiable in what the engine says it is.

        Args:
            model: network (N, C, H, W) -> logits (N, K); normalisation is its own first layer.
            x: (N, C, H, W) floating point images in [0, 1].
            eps: radius in [0, 1] pixel units, >= 0: one for all images, or (N,).
            y: (N,) true classes for bounds of margins, or None for bounds of logits.

        Returns:
            Bounds (N, K) of the logits, or (N, K - 1) of the margins in ascending order of the wrong classes. Infinite
            for an image in whose ball a divisor or a root's argument may reach 0.

        Raises:
            DataError: images, classes or radii aren't as above.
            UnsupportedError: the network has an operation that the engine has no rule for; the message names its place.
        """
        parts = self._by_parts(self.bound, model, x, eps, y)
        return Bounds(torch.cat([part.lower for part in parts]), torch.cat([part.upper for part in parts]))

    @final
    def summary(
        self, model: nn.Module, x: Tensor, eps: float | Tensor, y: Tensor, reduction: Reduction = "min"
    ) -> MarginSummary:
        """The margins of each image in brief; with its gradient cheaper than all margins, where an engine knows how.

        Args and errors are those of a call.

        Args:
            reduction: ``"min"``: the smallest of the lower bounds of f_y - f_j over the wrong classes j; above 0, the
                image is certified. ``"mean"``: a lower bound of their mean.
        """
        parts = self._by_parts(partial(self.bound_summary, reduction=reduction), model, x, eps, y)
        return MarginSummary(*map(torch.cat, zip(*parts, strict=True)))

    def _by_parts(
        self, bound: Callable[..., Result], model: nn.Module, x: Tensor, eps: float | Tensor, y: Tensor | None
    ) -> list[Result]:
        """What ``bound`` says of each sub-batch, on checked input."""
        radii = torch.as_tensor(eps, dtype=x.dtype, device=x.device)
        _check(x, radii, y, self.norm)
        radii = radii.expand(len(x))
        size = self.batch_size or max(len(x), 1)
        with full_precision(), evaluation_mode(model), naming_the_module(model):
            return [
                bound(model, images, part_of_radii, None if y is None else y[start : start + size])
                for start, images, part_of_radii in zip(
                    range(0, max(len(x), 1), size), x.split(size), radii.split(size), strict=True
                )
            ]

    @abstractmethod
    def bound(self, model: nn.Module, x: Tensor, eps: Tensor, y: Tensor | None) -> Bounds:
        """The bounds of one sub-batch, on checked input, with the model in evaluation mode; eps is (N,)."""

    def bound_summary(self, model: nn.Module, x: Tensor, eps: Tensor, y: Tensor, reduction: Reduction) -> MarginSummary:
        """The summary of one sub-batch, with input as for :meth:`bound`."""
        lower, upper = self.bound(model, x, eps, y)
        middles = F.pad((lower + upper) / 2, (1, 0))  # f_y - f_y = 0 and f_y - f_j: the logits up to sign and shift
        least = lower.amin(dim=1) if reduction == "min" else lower.mean(dim=1)
        return MarginSummary(least, (upper - lower).mean(dim=1), spread_over_classes(middles))


def spread_over_classes(logits: Tensor) -> Tensor:
    """(N, K) -> (N,) standard deviation over the classes, with a finite gradient where all are equal."""
    deviations = logits - logits.mean(dim=1, keepdim=True)
    return image_norm(deviations, 2) / math.sqrt(logits.shape[1])


def _check(x: Tensor, eps: Tensor, y: Tensor | None, norm: Norm) -> None:
    if not x.is_floating_point():
        raise DataError(f"Expected floating point images in [0, 1], got {x.dtype}; divide uint8 images by 255.")
    if y is not None and (y.shape != x.shape[:1] or y.dtype != torch.int64):
        raise DataError(
            f"Expected one int64 class an image, shape ({len(x)},), got shape {tuple(y.shape)} of {y.dtype}."
        )
    if eps.shape not in ((), (len(x),)):
        raise DataError(f"Expected one `eps`, or one an image, shape ({len(x)},), got shape {tuple(eps.shape)}.")
    if len(x) == 0:
        return
    low, high = torch.aminmax(x.detach())
    if not bool((low >= 0) & (high <= 1)):
        raise DataError(
            f"Expected images in [0, 1], got values from {low.item():.4g} to {high.item():.4g}; "
            "normalisation is the network's first layer, not the data's."
        )
    least, most = torch.aminmax(eps.detach())
    if not bool(least >= 0) or (norm == "linf" and not bool(most <= 1)):
        limit = "in [0, 1] for l_inf" if norm == "linf" else ">= 0"
        raise DataError(f"Expected `eps` {limit}, got values from {least.item():.4g} to {most.item():.4g}.")
