"""Proofs by a chain of bound engines, the cheap ones first."""

from __future__ import annotations

import time
from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dsrna.attacks import frozen
from dsrna.bounds.engines import bound_engine
from dsrna.verification.bisection import largest_radius, next_radius
from dsrna.verification.certificates import Certificates
from dsrna.verification.settings import Verification

SHARES = (1.0, 1 - 1e-6, 0.999, 0.97, 0.8, 0.5)
"""Of a radius that was proved in less than float64: those that are tried there, in turn."""


class Problem(NamedTuple):
    """A network, and images (N, C, H, W) of classes (N,) in its precision."""

    model: nn.Module
    x: Tensor
    y: Tensor


class Certifier:
    """Finds out in how large a ball around each image a network's answer is proved not to change.

    A radius is proved where an engine's lower bound of every margin f_y - f_j is above 0 by more than rounding can
    change inside the network, see :meth:`~dsrna.bounds.engine.BoundEngine.allowing_for`: for the network on real
    numbers, and as it is computed in the images' precision. Every image goes through the engines in order until one
    proves the radius; an engine that failed at a radius isn't asked about a larger one again. What was proved in
    float32 is proved again in float64, once and with all intermediate bounds, or a smaller radius is.

    Args:
        model: network (N, C, H, W) -> logits (N, K); it must not change while this certifier is used.
        settings: engines, radii, limits.
        precision: of the network and its images.
    """

    def __init__(self, model: nn.Module, settings: Verification, precision: torch.dtype) -> None:
        self._model = model
        self._settings = settings
        self._engines = {name: bound_engine(name, settings.norm) for name in settings.engines}
        self._precision = precision
        self.norm = settings.norm
        self._exact: nn.Module | None = None
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
        problem = Problem(self._model, x, y)
        with frozen(self._model), torch.no_grad():
            for eps in settings.eps:
                self._try(found, problem, torch.full_like(found.low, min(eps, largest)))
            for _ in range(settings.bisection_steps if settings.radius else 0):
                self._try(found, problem, next_radius(found.low, found.high, largest))
            if x.dtype != torch.float64:
                self._confirm(found, self.exact(x, y))
        return found

    def exact(self, x: Tensor, y: Tensor) -> Problem:
        """The same network and images in float64; on the CPU where the device has none."""
        if self._exact is None:
            self._exact = in_float64(self._model)
        device = next(self._exact.parameters(), x).device
        return Problem(self._exact, x.to(device).double(), y.to(device))

    def lower_bounds(self, engine: str, x: Tensor, y: Tensor, eps: float) -> Tensor:
        """(N, K - 1) lower bounds of the margins by one engine, as they count for a proof."""
        with frozen(self._model), torch.no_grad():
            model, images, classes = self.exact(x, y)
            return self._engines[engine].allowing_for(self._precision)(model, images, eps, classes).lower

    def _try(self, found: Certificates, problem: Problem, eps: Tensor) -> None:
        """Asks whether ``eps`` (N,) can be proved, for every image for which that isn't known yet."""
        is_open = (eps > found.low) & (eps < found.high)
        for name in self._engines:
            asked = is_open & ~found.late & (eps < found.failed[name])
            proved = self._proved_of(name, found, problem, eps, asked)
            found.low[proved] = eps[proved]
            for image in proved.nonzero()[:, 0].tolist():
                found.engine[image] = name
            failed = asked & ~proved
            found.failed[name][failed] = eps[failed].minimum(found.failed[name][failed])
            is_open &= ~proved
        unproved = is_open & ~found.late
        found.high[unproved] = eps[unproved]

    def _confirm(self, found: Certificates, problem: Problem) -> None:
        """Takes the largest share of every proved radius that the same engine proves again."""
        candidates = found.low.clone()
        is_open = candidates > 0
        found.low.zero_()
        for share in SHARES:
            for name in self._engines:
                asked = is_open & torch.tensor([engine == name for engine in found.engine], dtype=torch.bool)
                if share < 1:
                    asked &= ~found.late
                proved = self._proved_of(name, found, problem, share * candidates, asked)
                found.low[proved] = share * candidates[proved]
                is_open &= ~proved
        for image in is_open.nonzero()[:, 0].tolist():
            found.engine[image] = None

    def _proved_of(self, name: str, found: Certificates, problem: Problem, eps: Tensor, asked: Tensor) -> Tensor:
        """(N,) which of the images that are ``asked`` about an engine proves."""
        proved, images = torch.zeros_like(asked), asked.nonzero()[:, 0]
        if len(images):
            parts = images.split(self._at_once[name])
            proved[images] = torch.cat([self._proved(name, found, problem, eps, part) for part in parts])
        return proved

    def _proved(self, name: str, found: Certificates, problem: Problem, eps: Tensor, images: Tensor) -> Tensor:
        """Which of the ``images`` (their indices) an engine proves; halves them when memory runs out."""
        began = time.perf_counter()
        lower = self._bounds_if_they_fit(name, problem, eps, images)
        found.seconds[images] += (time.perf_counter() - began) / len(images)
        if self._settings.seconds_per_image is not None:
            found.late |= found.seconds >= self._settings.seconds_per_image
        if lower is not None:
            return ((lower > 0) & lower.isfinite()).all(dim=1).cpu()
        if len(images) == 1:
            found.too_large[images] = True
            found.failed[name][images] = 0
            return torch.zeros(1, dtype=torch.bool)
        self._at_once[name] = (len(images) + 1) // 2
        halves = images.tensor_split(2)
        return torch.cat([self._proved(name, found, problem, eps, half) for half in halves])

    def _bounds_if_they_fit(self, name: str, problem: Problem, eps: Tensor, images: Tensor) -> Tensor | None:
        model, x, y = problem
        place = images.to(x.device)
        engine = self._engines[name].allowing_for(self._precision)
        try:
            return engine(model, x[place], eps[images].to(x), y[place]).lower
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
        # Outside the handler, whose traceback would hold the memory of the failed attempt.
        if x.is_cuda:
            torch.cuda.empty_cache()
        return None


def in_float64(model: nn.Module) -> nn.Module:
    """A copy of a network with the same weights in float64; on the CPU where the device has no float64."""
    if any(parameter.device.type == "mps" for parameter in model.parameters()):
        model = deepcopy(model).cpu()
    exact = deepcopy(model).double()
    for module in exact.modules():
        for name, value in vars(module).items():  # tensors that are no buffers
            if isinstance(value, Tensor) and value.is_floating_point():
                setattr(module, name, value.double())
    return exact.eval().requires_grad_(False)


def _is_out_of_memory(error: Exception) -> bool:
    """torch has an error of its own for GPUs alone; on a CPU its allocator says so in words."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(text in str(error) for text in ("not enough memory", "can't allocate memory"))
