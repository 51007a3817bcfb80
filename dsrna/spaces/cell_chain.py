"""A network of cells as a chain."""

from __future__ import annotations

from torch import Tensor, nn

from dsrna.nn.chain import Link
from dsrna.spaces.cell_network import CellNetwork


def cell_chain(network: CellNetwork, inputs: int) -> list[Link]:
    """Stem, blocks, head, which hand on the outputs that later cells take.

    Blocks are the nonlinear layers: what else bends, in a stem or head, belongs to the block beside it.

    Args:
        network: of cells that take no operation weights.
        inputs: how many outputs of blocks before it a cell takes.
    """
    blocks = [
        Link(_Block(block, 1 if cell_type is None else inputs, inputs), bends=True)
        for cell_type, block in zip(network.skeleton.cell_types, network.body, strict=True)
    ]
    return [Link(_Stem(network), bends=False), *blocks, Link(_Head(network), bends=False)]


class _Stem(nn.Module):
    def __init__(self, network: CellNetwork) -> None:
        super().__init__()
        self.normalize, self.stem = network.normalize, network.stem

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        outputs = self.stem(self.normalize(x))
        return tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)


class _Block(nn.Module):
    def __init__(self, block: nn.Module, taken: int, kept: int) -> None:
        super().__init__()
        self.block, self.taken, self.kept = block, taken, kept

    def forward(self, *outputs: Tensor) -> tuple[Tensor, ...]:
        return (*outputs, self.block(*outputs[-self.taken :]))[-self.kept :]


class _Head(nn.Module):
    def __init__(self, network: CellNetwork) -> None:
        super().__init__()
        self.head, self.skeleton = network.last_layers, network.skeleton

    def forward(self, *outputs: Tensor) -> Tensor:
        return self.skeleton.logits(self.head, outputs[-1])
