"""A step of the search, as strategies and regularisers see it begin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dsrna.types import OperationWeights

StepKind = Literal["weights", "architecture"]


@dataclass(frozen=True)
class SearchStep:
    """One weight step or architecture step, about to be taken.

    Attributes:
        kind: whose step it is.
        progress: share of the search's weight steps that lie behind, in [0, 1).
        generator: a CPU generator of (seed, kind, epoch, batch), the one source of random numbers of this step.
        loss: operation weights -> scalar, the loss of this step's own images at them (without regularisers), at the
            present network weights; differentiable in the operation weights. BatchNorm's running statistics stay.
    """

    kind: StepKind
    progress: float
    generator: torch.Generator
    loss: Callable[[OperationWeights], Tensor]
