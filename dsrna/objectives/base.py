"""What every training loss shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.errors import ConfigError

Outputs = tuple[Tensor, Tensor | None]
"""Logits (N, K) and the auxiliary head's logits (N, K), or None without such a head."""

LossForward = Callable[[Tensor], Outputs]


class Carried(NamedTuple):
    """A perturbation that weight steps carry on.

    Attributes:
        delta: (N, ...) a leaf that the loss is differentiable in.
        move: takes delta and the loss's gradient in it, from the backward pass of the weight step, once it is taken.
    """

    delta: Tensor
    move: Callable[[Tensor, Tensor], None]


class Again(NamedTuple):
    """The same loss, to be taken once more where the weights are a little worse.

    Attributes:
        loss: computes it for the weights that the network has then, on the same inputs; no running statistics move.
        gamma: how far the weights are to be moved, over their norm, layer by layer, > 0.
    """

    loss: Callable[[], Tensor]
    gamma: float


class Result(NamedTuple):
    """What an objective returns.

    Attributes:
        loss: scalar, the mean over the batch; differentiable in the network weights.
        logits: (N, K) logits on ``inputs``.
        inputs: (N, ...) images that the network was trained to classify: the adversarial examples, or the clean images
            where there are none. So ``logits.argmax(1) == y`` gives the training accuracy under the training attack.
        numbers: what else is worth a curve, by name.
        carried: what the weight step takes along, None for most objectives. Until it is moved, the loss stays the same.
        again: what the weight step takes its gradient of instead, None for most objectives.
    """

    loss: Tensor
    logits: Tensor
    inputs: Tensor
    numbers: Mapping[str, float | Tensor] = MappingProxyType({})
    carried: Carried | None = None
    again: Again | None = None


class Objective(ABC):
    """A training loss: ``objective(model, x, y, generator) -> Result``.

    The loss is computed in the mode in which the network comes (train mode, in training); an attack inside sees it in
    evaluation mode, where BatchNorm may be set to normalise by the batch, and leaves every mode as it was. So the
    running statistics of BatchNorm follow the images of the loss, never those of the attack's steps.

    Args:
        label_smoothing: share of the target spread evenly over the classes, in [0, 1). The attack's own loss is
            never smoothed.
        auxiliary_weight: weight of the auxiliary head's cross-entropy, >= 0.

    Attributes:
        replays: how many weight steps in a row are taken on a batch.
        carries: whether results have something to carry from weight step to weight step.
        weight_perturbation: how far weight steps move the weights against the loss before they take its gradient.

    Raises:
        ConfigError: a value is out of range.
    """

    replays: int = 1
    carries: ClassVar[bool] = False
    weight_perturbation: float = 0.0

    def __init__(self, label_smoothing: float = 0.0, auxiliary_weight: float = 0.4) -> None:
        if not 0 <= label_smoothing < 1:
            raise ConfigError(f"Expected `label_smoothing` in [0, 1), got {label_smoothing:g}. (conf: label_smoothing)")
        if not auxiliary_weight >= 0:
            raise ConfigError(f"Expected `auxiliary_weight` >= 0, got {auxiliary_weight:g}. (conf: auxiliary_weight)")
        self.label_smoothing = label_smoothing
        self.auxiliary_weight = auxiliary_weight

    @property
    @abstractmethod
    def title(self) -> str:
        """What tables call a network trained on it, e.g. ``"adversarial training (PGD-7)"``."""

    def initialise(self, model: nn.Module) -> None:  # noqa: B027
        """Gives a fresh network the weights that training on this loss starts from; by default those that it has."""

    def advance(self, progress: float) -> None:  # noqa: B027
        """Says how far the training is, before each step; by default the loss is the same all along.

        Args:
            progress: share of the training's steps that lie behind, in [0, 1).
        """

    def state(self) -> dict[str, Any]:
        """What was carried, for checkpoints: plain types and tensors."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Takes back what :meth:`state` gave."""

    def certified(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor | None:
        """Which images are proved to keep their class in the ball, (N,) bool; None where the loss aims at no proof."""
        return None

    @final
    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        generator: torch.Generator | None = None,
        loss_forward: LossForward | None = None,
    ) -> Result:
        """The loss of one batch.

        Args:
            model: network (N, C, H, W) -> logits (N, K); what the attack sees.
            x: (N, C, H, W) images in [0, 1].
            y: (N,) true classes.
            generator: source of the attack's random numbers; needed by all objectives but ``Standard``.
            loss_forward: images -> (logits, auxiliary logits or None), for the forward passes that the loss trains.
                Defaults to ``model`` without an auxiliary head.

        Returns:
            The loss, with the logits on the images that it trains on.

        Raises:
            DataError, ConfigError: see :class:`dsrna.attacks.Attack`.
        """
        return self.result(model, loss_forward or (lambda images: (model(images), None)), x, y, generator)

    @abstractmethod
    def result(
        self, model: nn.Module, forward: LossForward, x: Tensor, y: Tensor, generator: torch.Generator | None
    ) -> Result:
        """The loss itself: ``model`` is for attacks, ``forward`` for what is trained."""

    def cross_entropy(self, outputs: Outputs, y: Tensor) -> Tensor:
        """CE(logits, y) + auxiliary_weight * CE(auxiliary logits, y), both smoothed, mean over the batch."""
        loss = self._smoothed(outputs[0], y)
        return loss if outputs[1] is None else loss + self.auxiliary_loss(outputs, y)

    def auxiliary_loss(self, outputs: Outputs, y: Tensor) -> Tensor | float:
        """The second of these terms, 0 without an auxiliary head."""
        return 0.0 if outputs[1] is None else self.auxiliary_weight * self._smoothed(outputs[1], y)

    def _smoothed(self, logits: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(logits, y, label_smoothing=self.label_smoothing)
