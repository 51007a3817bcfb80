"""Adversarial training whose attack costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dsrna.errors import ConfigError
from dsrna.functional.norms import steepest_step
from dsrna.functional.projections import into_ball
from dsrna.objectives.attacking import Attacking
from dsrna.objectives.base import Carried, LossForward, Result


@dataclass(kw_only=True, eq=False)
class FreeAdversarial(Attacking):
    """Cross-entropy on images x + delta, where delta is carried from weight step to weight step.

    The backward pass of each weight step gives the gradient of the weights and that of delta, which goes uphill by the
    ball's radius and back into the ball. Each batch is trained on ``replays`` times in a row, and delta is carried to
    the next batch too, image by image in their places. An epoch has as many steps as without replays, so each image
    is seen in one epoch of ``replays``: the attack costs no pass, but fewer images are seen.

    Cost: one forward and one backward pass.

    Args:
        threat: the ball that delta stays in.
        replays: m, how often in a row a batch is trained on, >= 1; the paper takes 8 on CIFAR-10.
        label_smoothing: see :class:`dsrna.objectives.Objective`; delta follows the smoothed loss.
        auxiliary_weight: see :class:`dsrna.objectives.Objective`; delta follows the loss with the head's.

    Raises:
        ConfigError: a value is out of range.

    References:
        Shafahi et al., Adversarial Training for Free!, NeurIPS 2019, algorithm 1. As in the released code, images are
        moved into [0, 1] before the network sees them, and where that takes hold, delta has no gradient. The paper
        treats l_inf alone, here l_2 takes the normalised gradient.
    """

    carries: ClassVar[bool] = True

    replays: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.replays <= 1000:
            raise ConfigError(f"Expected `replays` from 1 to 1000, got {self.replays}. (conf: replays)")
        self._delta: Tensor | None = None

    @property
    def title(self) -> str:
        return f"free adversarial training (m = {self.replays})"

    def result(
        self, model: nn.Module, forward: LossForward, x: Tensor, y: Tensor, generator: torch.Generator | None
    ) -> Result:
        delta = self._carried_to(x).requires_grad_()
        examples = (x + delta).clamp(0, 1)
        outputs = forward(examples)
        loss = self.cross_entropy(outputs, y)
        return Result(loss, outputs[0], examples.detach(), self.numbers, Carried(delta, self._move))

    def state(self) -> dict[str, Any]:
        return {} if self._delta is None else {"delta": self._delta}

    def load_state(self, state: dict[str, Any]) -> None:
        self._delta = state.get("delta")

    def _carried_to(self, x: Tensor) -> Tensor:
        """delta for a batch, which may have another number of images than the one before."""
        delta = torch.zeros_like(x)
        if self._delta is not None and self._delta.shape[1:] == x.shape[1:]:
            images = min(len(x), len(self._delta))
            delta[:images] = into_ball(self._delta[:images].to(x), self.threat.norm, self.radius)
        return delta

    def _move(self, delta: Tensor, gradient: Tensor) -> None:
        step = self.radius * steepest_step(gradient, self.threat.norm)
        self._delta = into_ball(delta.detach() + step, self.threat.norm, self.radius)
