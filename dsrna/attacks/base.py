"""What every attack shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn

from dsrna.attacks.frozen import frozen
from dsrna.attacks.watched import Watched
from dsrna.errors import ConfigError, DataError, NonFiniteError
from dsrna.functional.projections import project
from dsrna.nn.modes import BatchNormMode, check_batch_norm
from dsrna.types import Norm, Threat


class Attack(ABC):
    """Looks for misclassified images near given ones.

    A subclass writes :meth:`perturb`; :meth:`__call__` is final. It checks the input, holds the network still (see
    :func:`dsrna.attacks.frozen`), keeps an eye on its numbers (:class:`dsrna.attacks.watched.Watched`) and moves the
    result into the ball and into [0, 1], so that no attack can leave its threat model, change a mode, leave a gradient,
    or pass over NaN.

    Args:
        norm: ``"linf"`` or ``"l2"``.
        eps: radius in [0, 1] pixel units.
        batch_norm: what the network's BatchNorm normalises by: ``"running"`` statistics, so that an image's example
            doesn't depend on its batch mates, or those of the ``"batch"`` of examples, as a loss in training mode
            does. Either way the running statistics stay as they are.

    Attributes:
        threat: the ball in which the images move.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(self, norm: Norm, eps: float, batch_norm: BatchNormMode = "running") -> None:
        check_batch_norm(batch_norm)
        if norm not in ("linf", "l2"):
            raise ConfigError(f"Expected `norm` to be 'linf' or 'l2', got {norm!r}.")
        self.threat, self.batch_norm = Threat(norm, eps), batch_norm

    @final
    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Adversarial examples for a batch.

        Args:
            model: network (N, C, H, W) -> logits (N, K); normalisation is its own first layer.
            x: (N, ...) floating point images in [0, 1].
            y: (N,) true classes, int64.
            generator: source of all random numbers; a CPU generator gives the same examples on every device. Only
                attacks with a random start need one.

        Returns:
            (N, ...) images within ``threat.eps`` of ``x`` and in [0, 1], detached, of the dtype and device of ``x``.

        Raises:
            DataError: the images are not floating point, not in [0, 1] or not finite, ``y`` does not fit them or the
                network's logits, or the latter aren't (N, K) with K >= 2.
            ConfigError: the attack draws random numbers and got no generator.
            UnsupportedError: the logits don't depend differentiably on the images.
            NonFiniteError: a logit, gradient or example is NaN or infinite; names the image and the layer.
        """
        check_batch(x, y)
        if len(x) == 0:
            return x.detach().clone()
        with frozen(model, self.batch_norm):
            # Cloning makes ordinary tensors of a caller's inference tensors, which autograd refuses.
            x, y = x.detach().clone(), y.clone()
            dtype, x = x.dtype, precise(x)
            watched = Watched(model, x, y, type(self).__name__, dtype)
            with watched.checked():
                found = self.perturb(watched, x, y, generator).detach()
            check_found(found, type(self).__name__)
            return project(found, x, self.threat.norm, self.threat.eps).to(dtype)

    @abstractmethod
    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        """The search itself, on checked input and a frozen network; the result need not be exactly in the ball."""


def check_batch(x: Tensor, y: Tensor) -> None:
    """Refuses images and classes that no attack can work with.

    Raises:
        DataError: see :meth:`Attack.__call__`.
    """
    if not x.is_floating_point():
        raise DataError(f"Expected floating point images in [0, 1], got {x.dtype}; divide uint8 images by 255.")
    if y.shape != x.shape[:1] or y.dtype != torch.int64:
        raise DataError(
            f"Expected one int64 class an image, shape ({x.shape[0]},), got shape {tuple(y.shape)} of {y.dtype}."
        )
    if len(x) > 0:
        low, high = torch.aminmax(x.detach())
        if not bool((low >= 0) & (high <= 1)):
            raise DataError(
                f"Expected images in [0, 1], got values from {low.item():.4g} to {high.item():.4g}; "
                "normalisation is the network's first layer, not the data's."
            )


def precise(x: Tensor) -> Tensor:
    """Images in single precision at least: those of half precision can't tell the steps of an attack."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def check_found(found: Tensor, attack: str) -> None:
    """Refuses examples that are no images.

    Args:
        found: (N, ...) what an attack found.
        attack: what messages call it.

    Raises:
        NonFiniteError: an example is NaN or infinite.
    """
    bad = ~found.flatten(1).isfinite().all(dim=1)
    if bool(bad.any()):
        index = int(bad.int().argmax())
        raise NonFiniteError(
            f"{attack}: the example that it found for image {index} of the batch of {len(found)} is NaN or infinite, "
            "though the network's logits and gradients are finite where it looked: mend the attack.",
            image=index,
        )


def required(generator: torch.Generator | None) -> torch.Generator:
    """The generator, which an attack with a random start can't do without.

    Raises:
        ConfigError: there is none.
    """
    if generator is None:
        raise ConfigError(
            "Expected a `generator` for the attack's random start, got None; pass "
            "`dsrna.functional.seeding.generator(seed, ...)` or set `random_start: false`. (conf: random_start)"
        )
    return generator
