"""Conformance suite of search spaces: what holds for every one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dsrna.types import CellWeights, OperationWeights


class Space(Protocol):
    """The part of a search space's contract that the suite uses."""

    def weight_shapes(self) -> dict[str, tuple[int, int]]: ...
    def supernet(self, shape: tuple[int, int, int], classes: int, *args: Any, **sizes: Any) -> nn.Module: ...
    def inherit(self, supernet: Any, genotype: Any) -> nn.Module: ...
    def derive(self, weights: OperationWeights) -> Any: ...
    def one_hot(self, genotype: Any) -> OperationWeights: ...
    def check(self, genotype: Any) -> None: ...


def random_operation_weights(space: Space, generator: torch.Generator) -> OperationWeights:
    """Operation weights uniform in [0, 1), drawn for every cell type of a space; no edge weights."""
    return {
        cell_type: CellWeights(torch.rand(shape, generator=generator))
        for cell_type, shape in space.weight_shapes().items()
    }


def check_space(
    space: Space,
    round_trip: Callable[[Any], Any],
    sizes: Mapping[str, Any],
    shape: tuple[int, int, int] = (3, 8, 8),
    genotypes: int = 5,
    seed: int = 0,
) -> None:
    """Checks a space on random genotypes of its own.

    For each: it passes the space's check, survives its codec, is found again from its one-hot operation weights, and
    the supernet under these equals the derived network with the supernet's weights, in training and evaluation mode.
    Under random operation weights, gradients reach the weights of every operation but none.

    Args:
        space: the search space.
        round_trip: writes a genotype as text and reads it back.
        sizes: further arguments of ``space.supernet``, chosen small.
        shape: (C, H, W) of the images.
        genotypes: how many to try.
        seed: seed of genotypes, images and network weights.

    Raises:
        AssertionError: something doesn't hold; the message says what.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        supernet = space.supernet(shape, 5, **sizes)
    x = torch.rand(4, *shape, generator=generator)
    for _ in range(genotypes):
        genotype = space.derive(random_operation_weights(space, generator))
        space.check(genotype)
        _require(round_trip(genotype) == genotype, "a genotype differs after a round trip through its codec", genotype)
        one_hot = space.one_hot(genotype)
        _require(space.derive(one_hot) == genotype, "derive(one_hot(genotype)) is another genotype", genotype)
        _check_one_hot_equality(supernet, space.inherit(supernet, genotype), one_hot, x, genotype)
    _check_gradients(supernet.train(), random_operation_weights(space, generator), x)


def _check_one_hot_equality(
    supernet: nn.Module, network: nn.Module, one_hot: OperationWeights, x: Tensor, genotype: Any
) -> None:
    # Training mode comes first and moves running statistics in both, so that evaluation mode compares these too.
    for training in (True, False):
        supernet.train(training)
        network.train(training)
        difference = (supernet(x, one_hot) - network(x)).abs().max().item()
        mode = "training" if training else "evaluation"
        _require(difference < 1e-5, f"one-hot supernet and derived network differ by {difference} in {mode}", genotype)


def _check_gradients(supernet: nn.Module, weights: OperationWeights, x: Tensor) -> None:
    leaves = [cell.operations.requires_grad_() for cell in weights.values()]
    gradients = torch.autograd.grad(supernet(x, weights).square().sum(), leaves)
    for cell_type, gradient in zip(weights, gradients, strict=True):
        columns = gradient.abs().amax(dim=0)
        _require(bool(gradient.isfinite().all()), "a gradient to operation weights isn't finite", cell_type)
        _require(int((columns == 0).sum()) <= 1, "only none may have no gradient to its weights", cell_type)


def _require(holds: bool, message: str, subject: object) -> None:
    if not holds:
        raise AssertionError(f"{message}: {subject}")
