"""Early stopping by the curvature of the validation loss in the alphas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dsrna.distributed.group import averaged_all
from dsrna.errors import ConfigError
from dsrna.functional.lanczos import largest_eigenvalues
from dsrna.functional.seeding import generator
from dsrna.spaces.search_space import SearchSpace
from dsrna.spaces.supernet import Supernet
from dsrna.strategies.architecture import Architecture
from dsrna.strategies.schedules.base import RunningSearch, SearchSchedule


class EarlyStoppingHessian(SearchSchedule):
    """Ends the search when the largest eigenvalue of d2 L_val / d alphas2 has grown fast, and goes back to before that.

    l(i) is the eigenvalue after epoch i, at the expected operation weights, on the epoch's last batch of architecture
    images, with BatchNorm on the batch; m(i) its mean over the ``window`` epochs around i, over those that there are
    near the first. The search ends as soon as m(i) > 0 and m(i - lookback) < ratio * m(i), with i the last epoch whose
    window is full; the alphas are set back to those of epoch i - lookback, which is what is then recorded and derived.
    Epochs are counted from the end of the warm-up. Network weights stay those of the last epoch.

    Cost: ``iterations`` products of the Hessian with a vector an epoch, each a double backward pass of one batch.

    Args:
        ratio: in (0, 1).
        lookback: epochs between the two means, >= 1.
        window: odd number of epochs, >= 1.
        start: epochs with architecture steps that are never gone back to.
        iterations: of Lanczos's method, >= 1.

    Raises:
        ConfigError: a value is out of range.

    Source: Zela et al., Understanding and Robustifying DARTS (ICLR 2020), section 4.3, with the settings of the
    released code, but for its looking every second epoch. Differs from it: the eigenvalue comes from Lanczos's method,
    not from the whole Hessian.
    """

    def __init__(
        self, ratio: float = 0.75, lookback: int = 4, window: int = 5, start: int = 10, iterations: int = 20
    ) -> None:
        if not 0 < ratio < 1:
            raise ConfigError(f"Expected `ratio` in (0, 1), got {ratio}. (conf: ratio)")
        for name, value, least in (("lookback", lookback, 1), ("start", start, 0), ("iterations", iterations, 1)):
            if value < least:
                raise ConfigError(f"Expected `{name}` >= {least}, got {value}. (conf: {name})")
        if window < 1 or window % 2 == 0:
            raise ConfigError(f"Expected an odd `window` >= 1, got {window}. (conf: window)")
        self.ratio, self.lookback, self.window = ratio, lookback, window
        self.start, self.iterations = start, iterations
        self._eigenvalues: list[float] = []
        self._states: list[dict[str, Tensor]] = []  # of the last epochs, as many as one may go back

    def check(self, space: SearchSpace, architecture: Architecture, warmup: int, epochs: int) -> None:
        """See :class:`SearchSchedule`."""
        needed = self.start + self._reach + 1
        if epochs - warmup < needed:
            raise ConfigError(
                f"It takes {needed} epochs with architecture steps before this can stop a search (start {self.start}, "
                f"lookback {self.lookback}, window {self.window}), and there are {epochs - warmup}: search longer, or "
                "lower those. (conf: start)"
            )

    @property
    def _reach(self) -> int:
        return self.lookback + self.window // 2

    def end_epoch(self, search: RunningSearch, searching: bool) -> Mapping[str, float]:
        """See :class:`SearchSchedule`."""
        if not searching:
            return {}
        self._eigenvalues.append(hessian_eigenvalue(search, self.iterations))
        state = {name: value.detach().cpu().clone() for name, value in search.architecture.state_dict().items()}
        self._states = [*self._states, state][-(self._reach + 1) :]
        now = len(self._eigenvalues) - 1 - self.window // 2
        before = now - self.lookback
        if before >= self.start:
            mean, earlier = self._mean(now), self._mean(before)
            if mean > 0 and earlier < self.ratio * mean:
                search.architecture.load_state_dict(self._states[0])
                back = self._reach
                search.stop(
                    f"the largest Hessian eigenvalue in the alphas grew from {earlier:.4g} to {mean:.4g} within "
                    f"{self.lookback} epochs; the alphas are those of {back} epochs before"
                )
        return {"arch/hessian_eigenvalue": self._eigenvalues[-1]}

    def _mean(self, epoch: int) -> float:
        half = self.window // 2
        around = self._eigenvalues[max(0, epoch - half) : epoch + half + 1]
        return sum(around) / len(around)

    def state(self) -> dict[str, Any]:
        """See :class:`SearchSchedule`."""
        return {"eigenvalues": self._eigenvalues, "states": self._states}

    def load_state(self, state: dict[str, Any], supernet: Supernet) -> None:
        """See :class:`SearchSchedule`."""
        self._eigenvalues, self._states = state["eigenvalues"], state["states"]


def hessian_eigenvalue(search: RunningSearch, iterations: int) -> float:
    """The largest eigenvalue of the validation loss's Hessian in all parameters of the architecture."""
    alphas = [alpha for _, alpha in sorted(search.architecture.named_parameters())]
    loss = search.validation_loss(search.architecture.expected())
    gradients = torch.autograd.grad(loss, alphas, create_graph=True)
    slope = torch.cat([gradient.flatten() for gradient in gradients])

    def product(direction: Tensor) -> Tensor:
        rows = torch.autograd.grad(slope, alphas, direction[0].to(slope), retain_graph=True, materialize_grads=True)
        return torch.cat([row.flatten() for row in averaged_all(rows)])[None].double()

    start = torch.randn(1, slope.numel(), generator=generator(search.epoch, "lanczos")).to(slope.device).double()
    return float(largest_eigenvalues(product, start, iterations))
