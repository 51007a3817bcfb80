"""What stands for operation weights while a supernet is lowered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from dsrna.bounds.abstract_tensor import AbstractTensor
from dsrna.errors import UnsupportedError
from dsrna.types import CellWeights, OperationWeights


class OperationWeight:
    """Some entries of the operation or edge weights: it remembers which, and gives their value later.

    Args:
        cell_type: key of the operation weights.
        field: ``"operations"`` or ``"edges"``.
        index: position of these entries, from the first dimension on.
        shape: shape of these entries; () for a single weight.
    """

    def __init__(self, cell_type: str, field: str, index: tuple[int, ...], shape: tuple[int, ...]) -> None:
        self.cell_type = cell_type
        self.field = field
        self.index = index
        self.shape = torch.Size(shape)

    def value(self, weights: OperationWeights | None) -> Tensor:
        """The entries of given operation weights, differentiable in them."""
        cell = cast(OperationWeights, weights)[self.cell_type]
        return cast(Tensor, getattr(cell, self.field))[self.index]

    def unbind(self) -> tuple[OperationWeight, ...]:
        """See :meth:`torch.Tensor.unbind`."""
        return tuple(self[position] for position in range(self.shape[0]))

    def __getitem__(self, position: int) -> OperationWeight:
        return OperationWeight(self.cell_type, self.field, (*self.index, position), tuple(self.shape[1:]))

    def __mul__(self, factor: Any) -> Any:
        if not isinstance(factor, AbstractTensor) or self.shape:
            raise UnsupportedError(
                "Expected operation weights to be used as single factors of what depends on the image, got another "
                "use; a supernet that combines them in other ways can be bounded by `IBP` alone."
            )
        return factor * self


def symbolic_weights(weights: OperationWeights) -> OperationWeights:
    """Stand-ins with the keys and shapes of operation weights, to run a supernet's forward with."""
    return {name: _cell(name, cell) for name, cell in weights.items()}


def _cell(name: str, cell: CellWeights) -> CellWeights:
    parts: Mapping[str, Tensor | None] = cell._asdict()
    stand_ins = {
        field: None if part is None else OperationWeight(name, field, (), tuple(part.shape))
        for field, part in parts.items()
    }
    return CellWeights(**cast(dict[str, Any], stand_ins))
