"""Proofs by a chain of bound engines, the cheap ones first."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from dsrna.attacks import frozen
from dsrna.bounds.engines import bound_engine
from dsrna.verification.bisection import largest_radius, next_radius
from dsrna.verification.certificates import Certificates
from dsrna.verification.settings import Verification

ROUNDING = 100
"""How many units of rounding of the largest logit a bound must exceed to count as a proof."""


class Certifier:
    """Finds out in how large a ball around each image a network's answer is proved not to change.

    A radius is proved where an engine's lower bound of every margin f_y - f_j is above what rounding may change. Every
    image goes through the engines in order until one proves the radius; an engine that failed at a radius isn't asked
    about a larger one again. Engines keep their traces of the network, so use one certifier for all batches.

    Args:
        model: network (N, C, H, W) -> logits (N, K).
        settings: engines, radii, limits.
    """

    def __init__(self, model: nn.Module, settings: Verification) -> None:
        self._model = model
        self._settings = settings
        self._engines = {name: bound_engine(name, settings.norm) for name in settings.engines}
        self._at_once = dict.fromkeys(settings.engines, settings.batch_size)

    def certify(self, x: Tensor, y: Tensor) -> Certificates:
        """What can be proved of a batch.

        The radii of the settings are tried in ascending order, for each image until the first one that can't be proved;
        bisection goes on from there.

        Args:
            x: (N, C, H, W) correctly classified images in [0, 1].
            y: (N,) true classes.
        """
        settings = self._settings
        found = Certificates(len(x), settings.engines)
        largest = largest_radius(settings.norm, x)
        with frozen(self._model), torch.no_grad():
            slack = _rounding(self._model(x))
            for eps in settings.eps:
                self._try(found, x, y, slack, torch.full_like(found.low, min(eps, largest)))
            for _ in range(settings.bisection_steps if settings.radius else 0):
                self._try(found, x, y, slack, next_radius(found.low, found.high, largest))
        return found

    def lower_bounds(self, engine: str, x: Tensor, y: Tensor, eps: float) -> Tensor:
        """(N, K - 1) lower bounds of the margins by one engine."""
        with frozen(self._model), torch.no_grad():
            return self._engines[engine](self._model, x, eps, y).lower

    def _try(self, found: Certificates, x: Tensor, y: Tensor, slack: Tensor, eps: Tensor) -> None:
        """Asks whether ``eps`` (N,) can be proved, for every image for which that isn't known yet."""
        is_open = (eps > found.low) & (eps < found.high)
        for name in self._engines:
            asked = is_open & ~found.late & (eps < found.failed[name])
            images = asked.nonzero()[:, 0]
            if len(images) == 0:
                continue
            proved = torch.zeros_like(asked)
            parts = images.split(self._at_once[name])
            proved[images] = torch.cat([self._proved(name, found, x, y, slack, eps, part) for part in parts])
            found.low[proved] = eps[proved]
            for image in proved.nonzero()[:, 0].tolist():
                found.engine[image] = name
            failed = asked & ~proved
            found.failed[name][failed] = eps[failed].minimum(found.failed[name][failed])
            is_open &= ~proved
        unproved = is_open & ~found.late
        found.high[unproved] = eps[unproved]

    def _proved(
        self, name: str, found: Certificates, x: Tensor, y: Tensor, slack: Tensor, eps: Tensor, images: Tensor
    ) -> Tensor:
        """Which of the ``images`` (their indices) an engine proves; halves them when memory runs out."""
        began = time.perf_counter()
        lower = self._bounds_if_they_fit(name, x, y, eps, images)
        found.seconds[images] += (time.perf_counter() - began) / len(images)
        if self._settings.seconds_per_image is not None:
            found.late |= found.seconds >= self._settings.seconds_per_image
        if lower is not None:
            return (lower > slack[images.to(x.device), None]).all(dim=1).cpu()
        if len(images) == 1:
            found.too_large[images] = True
            found.failed[name][images] = 0
            return torch.zeros(1, dtype=torch.bool)
        self._at_once[name] = (len(images) + 1) // 2
        halves = images.tensor_split(2)
        return torch.cat([self._proved(name, found, x, y, slack, eps, half) for half in halves])

    def _bounds_if_they_fit(self, name: str, x: Tensor, y: Tensor, eps: Tensor, images: Tensor) -> Tensor | None:
        place = images.to(x.device)
        try:
            return self._engines[name](self._model, x[place], eps[images].to(x), y[place]).lower
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
        # Outside the handler, whose traceback would hold the memory of the failed attempt.
        if x.is_cuda:
            torch.cuda.empty_cache()
        return None


def _rounding(logits: Tensor) -> Tensor:
    return ROUNDING * torch.finfo(logits.dtype).eps * (1 + logits.abs().amax(dim=1))


def _is_out_of_memory(error: Exception) -> bool:
    """torch has an error of its own for GPUs alone; on a CPU its allocator says so in words."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(text in str(error) for text in ("not enough memory", "can't allocate memory"))
