"""All edges that leave one node of a supernet's cell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from dsrna.nn.edges.mixed_operation import MixedOperation


class FusedEdges(ABC):
    """outputs_e = sum_o w_eo o_e(x) for all edges e that leave one node, computed together.

    It reads the modules' weights and statistics and moves their running statistics as the modules would, but doesn't
    call the modules.

    Args:
        edges: the edges; all have the same channels, stride and primitives.

    Attributes:
        edges: as given.
        modules: every module of the edges.
        hooks: their dictionaries of hooks.
        norms: every BatchNorm, in an order of the subclass's own.
        convolutions: every convolution, likewise.
    """

    def __init__(self, edges: Sequence[MixedOperation]) -> None:
        self.edges = list(edges)
        self.modules = [module for edge in edges for module in edge.modules()]
        self.hooks = [
            hooks
            for module in self.modules
            for hooks in (
                module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks,
            )
        ]  # fmt: skip
        self.norms: list[nn.BatchNorm2d] = []
        self.convolutions: list[nn.Conv2d] = []

    @abstractmethod
    def __call__(self, x: Tensor, weights: Tensor) -> list[Tensor]:
        """Maps x (N, C, H, W) and weights (E, O) to E maps (N, C, ceil(H / stride), ceil(W / stride))."""

    @property
    def parameters(self) -> list[Tensor]:
        """The convolutions' weights, as they are now: others may be put in their place, for one call or for good."""
        return [cast(Tensor, convolution._parameters["weight"]) for convolution in self.convolutions]

    @property
    def training(self) -> bool:
        """Whether BatchNorms normalise by the batch."""
        return bool(self.norms) and self.norms[0].training

    def running(self) -> tuple[Tensor, Tensor]:
        """The BatchNorms' running means and variances (norms, C)."""
        means = torch.stack([cast(Tensor, norm.running_mean) for norm in self.norms])
        variances = torch.stack([cast(Tensor, norm.running_var) for norm in self.norms])
        return means, variances

    def track(self, means: Tensor, variances: Tensor) -> None:
        """Moves tracked running statistics towards a batch's means and unbiased variances (norms, C)."""
        if not self.norms[0].track_running_stats:
            return
        momentum = cast(float, self.norms[0].momentum)
        torch._foreach_lerp_([cast(Tensor, norm.running_mean) for norm in self.norms], list(means), momentum)
        torch._foreach_lerp_([cast(Tensor, norm.running_var) for norm in self.norms], list(variances), momentum)
        torch._foreach_add_([cast(Tensor, norm.num_batches_tracked) for norm in self.norms], 1)
