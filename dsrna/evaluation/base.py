"""What every attack of the evaluation shares."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib.metadata import version
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor, nn

import dsrna
from dsrna.attacks import frozen
from dsrna.attacks.base import check_batch, check_found, precise
from dsrna.attacks.watched import Watched
from dsrna.errors import ConfigError, UnsupportedError
from dsrna.functional.norms import image_norm
from dsrna.functional.projections import project
from dsrna.types import Norm, Threat

Kind = Literal["single_step", "multi_step", "minimum_norm", "ensemble", "black_box", "transfer"]


@dataclass(frozen=True)
class Procedure:
    """How an attack is carried out in one threat model, as a record reports it.

    Attributes:
        engine: package that runs the attack.
        steps: gradient steps, or queries of a black-box attack, of one restart.
        restarts: how often it is repeated, at most.
        step_size: length of a step in [0, 1] pixel units; None where the attack adapts it.
    """

    engine: str
    steps: int
    restarts: int = 1
    step_size: float | None = None

    @property
    def version(self) -> str:
        return dsrna.__version__ if self.engine == "dsrna" else version(self.engine)


@dataclass(frozen=True, kw_only=True)
class EvaluationAttack(ABC):
    """An attack by which robust accuracy is measured.

    A subclass names the library call in :meth:`search` and describes it in :meth:`procedure`. :meth:`run` and
    :meth:`examples` are final: they hold the network still, keep torch's global generator for the caller, and decide by
    themselves which images the network still gets right, on examples that they moved into the ball and into [0, 1]. No
    library's word is taken, and whatever logits and gradients a library meets are looked at on the way
    (:class:`dsrna.attacks.watched.Watched`), as NaN that it passes over would look like robustness.

    Args:
        key: short name, which file names and records carry; no two attacks of an evaluation may share one.
        label: name in tables.
        images: attack only this many of the first images, for attacks that cost too much for all; None: all. The
            record says how many there were.
        repeats: measure so often, each time with other random numbers; what that changes says how much of a number is
            chance of the attack. The worst case is over all of them.

    Raises:
        ConfigError: ``images`` or ``repeats`` is not positive.

    Attributes:
        kind: what the gradient-masking checks compare it with.
        added: settings that came after the first outcome files, in whose headers they stand only where they aren't the
            default.
        norms: of the balls that it can search.
        averages_passes: whether each step follows the mean gradient of several passes, as networks need that draw
            random numbers (EoT).
        maximises: the loss that it goes up; more steps need to break more only where they go up the same one.
    """

    key: str = ""
    label: str = ""
    images: int | None = None
    repeats: int = 1
    kind: ClassVar[Kind]
    added: ClassVar[tuple[str, ...]] = ()
    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    def __post_init__(self) -> None:
        check_positive(images=self.images, repeats=self.repeats)
        key, label = self.names()
        # The dataclass is frozen; these two defaults depend on the other settings.
        object.__setattr__(self, "key", self.key or key)
        object.__setattr__(self, "label", self.label or label)

    @property
    def averages_passes(self) -> bool:
        return False

    @property
    def maximises(self) -> str:
        return "cross_entropy"

    @final
    def run(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
        """Which images the network classifies correctly under this attack.

        Args:
            model: network (N, C, H, W) -> logits (N, K), in any mode; modes and gradients are left as they are.
            x: (N, C, H, W) float images in [0, 1].
            y: (N,) true classes.
            threat: the ball.
            seed: seeds torch's global generator for the attack; its state comes back afterwards. On another device
                the libraries draw other numbers.

        Returns:
            (N,) bool, an upper estimate of the images that are robust: another attack may still break them.

        Raises:
            DataError: the images or classes are unusable, or the network has no logits for them.
            UnsupportedError: the attack needs gradients and there are none, it left the ball, or doesn't know the norm.
            NonFiniteError: a logit, a gradient or an example is NaN or infinite; names the image and the layer.
        """
        return self.examples(model, x, y, threat, seed)[1]

    @final
    def examples(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> tuple[Tensor, Tensor]:
        """What the attack found, and which images stay correctly classified; arguments and errors as of :meth:`run`.

        Returns:
            Images (N, C, H, W) in the ball and in [0, 1], and (N,) bool as :meth:`run` returns it.
        """
        if threat.norm not in self.norms:
            raise UnsupportedError(
                f"{self.label} searches balls of the norms {', '.join(self.norms)}, got {threat.norm}. "
                "(conf: evaluate.threats)"
            )
        check_batch(x, y)
        if len(x) == 0:
            return x, torch.ones_like(y, dtype=torch.bool)
        with frozen(model), _seeded(seed):
            # The libraries reshape by `view`, and autograd refuses a caller's inference tensors.
            x, y = x.detach().clone(memory_format=torch.contiguous_format), y.clone()
            dtype, x = x.dtype, precise(x)
            watched = Watched(model, x, y, self.label, dtype)
            with watched.checked():
                # Of its own, so that a search that writes into them moves neither the ball nor the true classes.
                found = self.search(watched, x.clone(), y.clone(), threat, seed).detach()
            check_found(found, self.label)
            self._check_in_ball(found, x, threat)
            found = project(found, x, threat.norm, threat.eps).to(dtype)
            with torch.no_grad(), watched.checked():
                return found, watched(found).argmax(dim=1) == y

    @abstractmethod
    def search(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
        """Examples (N, C, H, W) in the ball up to rounding; an image on which the search failed stays as it was."""

    @abstractmethod
    def procedure(self, threat: Threat) -> Procedure:
        """What :meth:`search` does in this threat model."""

    @abstractmethod
    def names(self) -> tuple[str, str]:
        """Default key and label."""

    def _check_in_ball(self, found: Tensor, x: Tensor, threat: Threat) -> None:
        """Examples elsewhere would be moved to where nobody looked, and counted as images that withstood."""
        exponent = {"linf": math.inf, "l2": 2.0, "l1": 1.0}[threat.norm]
        distances = image_norm(found - x, exponent)
        rounding = 8 * torch.finfo(x.dtype).eps * x[0].numel() ** (1 / exponent)
        outside = distances > 1.001 * threat.eps + rounding
        if bool(outside.any()):
            index = int(outside.int().argmax())
            raise UnsupportedError(
                f"Expected examples of {self.label} in the ball of radius {threat.eps:.4g} ({threat.norm}), got one at "
                f"a distance of {float(distances[index]):.4g} for image {index} of the batch. A search keeps an image "
                "as it was where it found nothing in the ball."
            )

    def options(self) -> dict[str, Any]:
        """The settings as plain values that tell two measurements apart: not the label, nor how many there are."""
        return {
            one.name: value
            for one in fields(self)
            if one.name not in ("label", "repeats")
            and ((value := getattr(self, one.name)) != one.default or one.name not in self.added)
        }


def check_positive(**values: float | None) -> None:
    """Refuses settings that are neither None nor above 0.

    Raises:
        ConfigError: names the first of them.
    """
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ConfigError(f"Expected `{name}` above 0, got {value!r}. (conf: {name})")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
