"""The feature maps that the released CRoZe compares, and which of them goes with each layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from dsrna.errors import UnsupportedError
from dsrna.spaces.cell_network import CellNetwork


@dataclass(frozen=True)
class Stages:
    """The stages of one network: stem, parts of the body, and the pooled features.

    Attributes:
        blocks: the parts of the body, in the order of the forward pass.
        outputs: the modules whose outputs are the stages' features; those of the last stage enter ``classifier``.
        classifier: the linear layer.
        layers: every convolution and linear layer, with the number of its stage.
    """

    blocks: Sequence[nn.Module]
    outputs: Sequence[nn.Module]
    classifier: nn.Linear
    layers: Sequence[tuple[nn.Module, int]]


def stages_of(model: nn.Module) -> Stages:
    """The stages as the released code counts them.

    Those of stacked cells: stem, each cell, pooled. Of three stages: stem, after each reduction, last cell, pooled. A
    layer's stage is the number of cells begun so far, itself included, by the number of cells in a stage, rounded down:
    the last cell of a stage counts with the reduction that follows.

    Raises:
        UnsupportedError: the network is none of a search space.
    """
    if not isinstance(model, CellNetwork):
        raise UnsupportedError(
            f"The released CRoZe compares the features of cells: expected a network of a search space, got "
            f"{type(model).__name__}. Use the proxy croze_paper, which takes any network."
        )
    skeleton, blocks = model.skeleton, list(model.body)
    cells = [block for block, cell_type in zip(blocks, skeleton.cell_types, strict=True) if cell_type is not None]
    layers = _counted(model, lambda begun: begun // skeleton.cells_a_stage, cells)
    ends = [blocks[position] for position in skeleton.stages]
    return Stages(blocks, (model.stem, *ends), _linear(model.last_layers), layers)


@contextmanager
def features_noted(stages: Stages) -> Iterator[list[Tensor]]:
    """Inside, a forward pass puts the features of every stage into the list."""
    features: list[Tensor] = []

    def note(module: nn.Module, inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
        features.append(output if isinstance(output, Tensor) else output[-1])

    def note_input(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        features.append(inputs[0])

    hooks = [module.register_forward_hook(note) for module in stages.outputs]
    hooks.append(stages.classifier.register_forward_pre_hook(note_input))
    try:
        yield features
    finally:
        for hook in hooks:
            hook.remove()


def _counted(model: nn.Module, stage: Callable[[int], int], cells: Sequence[nn.Module]) -> list[tuple[nn.Module, int]]:
    """Every layer with its stage, from the number of cells begun before it."""
    layers: list[tuple[nn.Module, int]] = []
    begun = 0
    for module in model.modules():
        begun += any(module is cell for cell in cells)
        if isinstance(module, nn.Conv2d | nn.Linear):
            layers.append((module, stage(begun) + isinstance(module, nn.Linear)))
    return layers


def _linear(head: nn.Module) -> nn.Linear:
    return next(module for module in head.modules() if isinstance(module, nn.Linear))
