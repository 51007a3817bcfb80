"""All edges that leave one node of a supernet's cell, fused."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from dsrna.nn.edges.mixed_operation import MixedOperation
from dsrna.nn.operations import Zero
from dsrna.nn.plain_call import why_watched
from dsrna.types import CellWeights


class FusedEdges(ABC):
    """outputs_e = sum_o w_eo o_e(x) for all edges e that leave one node, over the operations o that it knows, together.

    It reads the modules' weights and statistics and moves their running statistics as the modules would, but doesn't
    call the modules. The operations that it doesn't know are zeros to it: who calls it adds their modules' outputs.

    Args:
        edges: the edges; all have the same channels, stride and primitives.

    Attributes:
        edges: as given.
        operations: of each edge, those that it computes; a Zero in the place of one that it leaves to its module.
        idle: whether nothing but zeros remains; then it is not to be called.
        left: of each edge, the places of the operations that are left to their modules: those that it doesn't know,
            and all if it is idle.
        norms: every BatchNorm, in an order of the subclass's own.
        convolutions: every convolution, likewise.
    """

    def __init__(self, edges: Sequence[MixedOperation]) -> None:
        self.edges = list(edges)
        known = self._known()
        self.operations = [
            [operation if fine else Zero(edge.stride) for operation, fine in zip(edge.operations, of_edge, strict=True)]
            for edge, of_edge in zip(self.edges, known, strict=True)
        ]
        self.idle = all(type(operation) is Zero for of_edge in self.operations for operation in of_edge)
        self.left = [[place for place, fine in enumerate(of_edge) if self.idle or not fine] for of_edge in known]
        computed = [module for of_edge in self.operations for each in of_edge for module in each.modules()]
        self._hooks = [
            hooks
            for module in (*self.edges, *computed)
            for hooks in (
                module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks,
            )
        ]  # fmt: skip
        self.norms: list[nn.BatchNorm2d] = []
        self.convolutions: list[nn.Conv2d] = []

    @abstractmethod
    def __call__(self, x: Tensor, weights: Tensor) -> list[Tensor]:
        """Maps x (N, C, H, W) and weights (E, O) to E maps (N, C, ceil(H / stride), ceil(W / stride))."""

    @classmethod
    def missing(cls) -> str | None:
        """Why this machine can't compute edges so, or None."""
        return None

    @staticmethod
    @abstractmethod
    def knows(operations: Sequence[nn.Module]) -> list[bool]:
        """Which of the operations, the same primitive on each of the edges, can be computed so."""

    def objection(self, inputs: Sequence[Tensor], weights: CellWeights) -> str | None:
        """Why this call is the next implementation's, or None where the outputs are those of the modules.

        Args:
            inputs: the cell's input nodes.
            weights: operation and edge weights of the cell.
        """
        tensors = [*inputs, *(each for each in weights if each is not None), *self.parameters]
        if (reason := self._objection_to_tensors(tensors)) is not None:
            return reason
        if inputs[0].numel() == 0:
            return "the batch is empty"
        if torch.nn.modules.module._has_any_global_hook() or any(self._hooks):
            return "hooks on modules"
        return self._objection_to_norms(inputs[0])

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

    def _known(self) -> list[list[bool]]:
        """Of each edge, which operations it computes: those that it knows, with the BatchNorm that most have.

        A BatchNorm of a class of its own may compute anything, and is its module's.
        """
        kinds = Counter(kind for edge in self.edges for kind in _norm_kinds(edge) if kind[0] is nn.BatchNorm2d)
        usual = {kind for kind, _ in kinds.most_common(1)}
        columns = []
        for alike in zip(*(edge.operations for edge in self.edges), strict=True):
            fitting = [usual.issuperset(_norm_kinds(operation)) for operation in alike]
            columns.append([a and b for a, b in zip(fitting, self.knows(alike), strict=True)])
        return [list(of_edge) for of_edge in zip(*columns, strict=True)]

    def _objection_to_tensors(self, tensors: Sequence[Tensor]) -> str | None:
        return why_watched(*tensors)

    def _objection_to_norms(self, x: Tensor) -> str | None:
        if not self.norms:
            return None
        first = self.norms[0]
        if len({(norm.training, norm.track_running_stats, norm.momentum, norm.eps) for norm in self.norms}) > 1:
            return "BatchNorm layers differ in mode, momentum or eps"
        if first.affine:
            return "BatchNorm layers with a scale"
        for norm in self.norms:
            mean, variance = norm._buffers["running_mean"], norm._buffers["running_var"]
            if mean is None or variance is None:
                return "BatchNorm layers without running statistics"
            if mean.requires_grad or variance.requires_grad:
                return "running statistics that are differentiated"
        if first.training and x.shape[0] * -(-x.shape[2] // 2) * -(-x.shape[3] // 2) == 1:
            return "one value a channel, which BatchNorm refuses"
        if first.training and first.track_running_stats and first.momentum is None:
            return "running statistics that average over all batches"
        return None


def _norm_kinds(module: nn.Module) -> list[tuple[Any, ...]]:
    """Of each BatchNorm in a module, what has to be the same for all that are computed together."""
    norms = [each for each in module.modules() if isinstance(each, nn.BatchNorm2d)]
    return [(type(norm), norm.num_features, norm.affine, norm.eps, norm.momentum) for norm in norms]
