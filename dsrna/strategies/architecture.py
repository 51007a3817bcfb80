"""What the strategies give: a module that holds the alphas."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from dsrna.strategies.entropy import operation_entropy
from dsrna.types import OperationWeights


class Architecture(nn.Module, ABC):
    """The architecture under search: its parameters are the alphas.

    A step of the search goes: :meth:`begin_step` once, which fixes whatever is drawn, then :meth:`forward` any number
    of times. Until the next ``begin_step``, ``forward`` gives the same function of the alphas: whatever the training
    flag says, for each closure of a hypergradient and for every look of a metric or an attack. What outlasts a step
    (what is derived, history, entropy, reports, validation) reads :meth:`expected` and nothing else.

    Attributes:
        on_simplex: whether the operation weights of every edge sum to 1; else each is in [0, 1] by itself.
        one_hot: whether a step's weights are of one operation an edge.
        learns: whether architecture steps are taken at all.
    """

    on_simplex: ClassVar[bool] = True
    one_hot: ClassVar[bool] = False
    learns: ClassVar[bool] = True

    def begin_step(self, progress: float, generator: torch.Generator) -> None:
        """Fixes what :meth:`forward` gives until the next call.

        Args:
            progress: share of the search's steps that lie behind, in [0, 1).
            generator: a CPU generator of this step alone, the one source of random numbers.
        """

    @abstractmethod
    def forward(self) -> OperationWeights:
        """Operation weights (and edge weights) of every cell type, differentiable in the parameters.

        Before the first :meth:`begin_step`: the expected ones.
        """

    def expected(self) -> OperationWeights:
        """What stands for the architecture outside of steps: a function of the alphas (and of the progress) alone.

        For a strategy that draws nothing, what :meth:`forward` gives.
        """
        return self()

    def entropy(self) -> Tensor:
        """Scalar: entropy of the expected operation weights' shares in nats, mean over edges, then over cell types."""
        return torch.stack([operation_entropy(cell.operations) for cell in self.expected().values()]).mean()
