"""Projected gradient descent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.attacks.base import Attack, required
from dsrna.errors import ConfigError
from dsrna.functional.margins import margin
from dsrna.functional.norms import steepest_step
from dsrna.functional.projections import project, uniform_start
from dsrna.nn.modes import BatchNormMode
from dsrna.types import Norm

AttackLoss = Literal["cross_entropy", "margin", "kl", "squared_error"]

FROM_CLEAN = ("kl", "squared_error")
"""Losses that compare with the clean image: without a label, and without a gradient there."""

PerImageLoss = Callable[[Tensor], Tensor]
"""Logits (N, K) -> the losses (N,) that the attack makes large."""


class PGD(Attack):
    """Projected gradient descent: steepest ascent on a loss, projected back after every step.

    x_{t+1} = Pi(x_t + step_size * d_t), where d_t = sign(g_t) for l_inf and g_t / ||g_t||_2 for l_2, g_t is the
    gradient of the loss to the image, and Pi projects onto the ball around x and then into [0, 1]. The last iterate is
    the result; foolbox's PGD with the same absolute step size and start gives the same bits.

    Losses, per image: ``cross_entropy`` (Madry et al.); ``margin`` = max_{j != y} f_j - f_y, the Carlini-Wagner loss
    (confidence unlimited), which does not saturate where the softmax does; ``kl`` = KL(p(x) || p(x_t)), TRADES's inner
    loss, and ``squared_error`` = ||p(x) - p(x_t)||^2, SCORE's, which take no label and whose gradient at x itself is
    zero, so that they need a random start.

    With ``restarts`` > 1 the search is repeated from fresh random starts, and each image keeps, among the restarts that
    fooled the network, the example of highest loss (if none did, the one of highest loss).

    Cost: ``steps`` forward and backward passes a restart, plus one forward pass a restart if there are several; ``kl``
    and ``squared_error`` add one forward pass.

    Args:
        norm: ``"linf"`` or ``"l2"``.
        eps: radius in [0, 1] pixel units.
        step_size: length of a step in the same norm and units, at most 2 * eps; None means 2.5 * eps / steps, with
            which every point of the ball can be reached (Madry et al.).
        steps: number of steps, >= 1.
        restarts: number of searches, >= 1; more than one needs a random start.
        random_start: start uniformly in the ball instead of at the image.
        loss: ``"cross_entropy"``, ``"margin"``, ``"kl"`` or ``"squared_error"``.
        batch_norm: see :class:`dsrna.attacks.base.Attack`.

    Raises:
        ConfigError: a value is out of range.

    References:
        Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018. Carlini and Wagner,
        Towards Evaluating the Robustness of Neural Networks, IEEE S&P 2017, objective f_6.
    """

    def __init__(
        self,
        norm: Norm,
        eps: float,
        step_size: float | None = None,
        steps: int = 10,
        restarts: int = 1,
        random_start: bool = True,
        loss: AttackLoss = "cross_entropy",
        batch_norm: BatchNormMode = "running",
    ) -> None:
        super().__init__(norm, eps, batch_norm)
        _check_settings(eps, step_size, steps, restarts, random_start, loss)
        self.step_size = default_step_size(eps, steps) if step_size is None else step_size
        self.steps = steps
        self.restarts = restarts
        self.random_start = random_start
        self.loss = loss

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        losses = self._losses(model, x, y)
        if self.restarts == 1:
            return self._ascend(model, x, losses, generator)
        best = x
        best_fooled = torch.zeros_like(y, dtype=torch.bool)
        best_loss = torch.full_like(y, -torch.inf, dtype=x.dtype)
        for _ in range(self.restarts):
            found = self._ascend(model, x, losses, generator)
            with torch.no_grad():
                logits = model(found)
                fooled, loss = logits.argmax(dim=1) != y, losses(logits)
            better = (fooled & ~best_fooled) | ((fooled == best_fooled) & (loss > best_loss))
            best = torch.where(better.reshape(-1, *[1] * (x.ndim - 1)), found, best)
            best_fooled = best_fooled | fooled
            best_loss = torch.where(better, loss, best_loss)
        return best

    def start(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Where a search begins; a subclass may begin elsewhere."""
        if not self.random_start:
            return x
        return uniform_start(x, self.threat.norm, self.threat.eps, required(generator))

    def _ascend(self, model: nn.Module, x: Tensor, losses: PerImageLoss, generator: torch.Generator | None) -> Tensor:
        found = self.start(x, generator)
        for _ in range(self.steps):
            found = found.detach().requires_grad_()
            # The sum keeps each image's gradient independent of its batch mates.
            (gradient,) = torch.autograd.grad(losses(model(found)).sum(), found)
            step = self.step_size * steepest_step(gradient, self.threat.norm)
            found = project(found.detach() + step, x, self.threat.norm, self.threat.eps)
        return found

    def _losses(self, model: nn.Module, x: Tensor, y: Tensor) -> PerImageLoss:
        if self.loss == "cross_entropy":
            return lambda logits: F.cross_entropy(logits, y, reduction="none")
        if self.loss == "margin":
            return lambda logits: -margin(logits, y)
        with torch.no_grad():
            clean = model(x).log_softmax(dim=1)
        if self.loss == "squared_error":
            return lambda logits: (logits.softmax(dim=1) - clean.exp()).square().sum(dim=1)
        return lambda logits: F.kl_div(logits.log_softmax(dim=1), clean, reduction="none", log_target=True).sum(dim=1)


def default_step_size(eps: float, steps: int) -> float:
    """Madry et al.'s rule, 2.5 * eps / steps."""
    return 2.5 * eps / steps


def check_count(name: str, value: int) -> None:
    """Refuses what is not a whole number >= 1.

    Raises:
        ConfigError: names the setting.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"Expected `{name}` to be a whole number >= 1, got {value!r}. (conf: {name})")


def _check_settings(
    eps: float, step_size: float | None, steps: int, restarts: int, random_start: bool, loss: str
) -> None:
    check_count("steps", steps)
    check_count("restarts", restarts)
    if step_size is not None and not 0 < step_size <= 2 * eps:
        hint = f"; did you mean {step_size:g}/255?" if step_size >= 1 else "; the ball is only 2 * eps wide."
        raise ConfigError(
            f"Expected `step_size` above 0 and at most 2 * eps = {2 * eps:.4g}, in the units of eps, "
            f"got {step_size:g}{hint} (conf: step_size)"
        )
    if restarts > 1 and not random_start:
        raise ConfigError(
            f"Expected `restarts` = 1 without a random start, got {restarts}: every restart would find the same "
            "images. Set `random_start: true`. (conf: restarts)"
        )
    if loss not in get_args(AttackLoss):
        raise ConfigError(f"Expected `loss` to be one of {', '.join(get_args(AttackLoss))}, got {loss!r}. (conf: loss)")
    if loss in FROM_CLEAN and not random_start:
        raise ConfigError(
            f"Expected `random_start: true` with `loss: {loss}`, whose gradient at the clean image is zero, "
            "got false. (conf: random_start)"
        )
