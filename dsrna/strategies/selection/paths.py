"""Discrete cells as paths of a trained supernet: networks of their own, and how good they are on held-out images."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dsrna.data.loader import Batch
from dsrna.errors import UnsupportedError
from dsrna.functional.seeding import generator
from dsrna.nn.edges.implementation import use_implementation
from dsrna.nn.edges.mixed_operation import MixedOperation
from dsrna.nn.modes import evaluation_mode, submodules, without_gradients
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.search_space import SearchSpace
from dsrna.spaces.supernet import Supernet
from dsrna.types import CellWeights, OperationWeights


class Perturbed(Protocol):
    """What a weight step moves along; see :class:`dsrna.objectives.base.Carried`."""

    @property
    def delta(self) -> Tensor: ...
    @property
    def move(self) -> Callable[[Tensor, Tensor], None]: ...


class Outcome(Protocol):
    """What a training loss gives; see :class:`dsrna.objectives.base.Result`."""

    @property
    def loss(self) -> Tensor: ...
    @property
    def logits(self) -> Tensor: ...
    @property
    def inputs(self) -> Tensor: ...
    @property
    def carried(self) -> Perturbed | None: ...


LossOf = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Outcome]
"""(network, x, y, generator) -> loss on the images, logits on the images that it is of, and these images."""


@dataclass(frozen=True)
class PathScore:
    """How good a cell is as a path of the supernet.

    Attributes:
        loss: of the objective, mean over the images; lower = better.
        accuracy: share of the images that are classified correctly as they are.
        objective_accuracy: the same on the images that the objective is of: the adversarial ones, where it has any.
    """

    loss: float
    accuracy: float
    objective_accuracy: float


class Paths:
    """The cells of a trained supernet as networks, and their scores on held-out images.

    A path's BatchNorm statistics aren't those of the mixture that the supernet was trained as, so they are taken anew:
    the mean over the calibration batches of what each is normalised by in training mode. With them a network is scored
    in evaluation mode, so that an image's logits, and an attack on them, don't depend on the images beside it. (Batch
    statistics would need no calibration, but make a score one of whole batches, and of the attack on them.)

    All scores are of the same images and the same random numbers, so that two of them can be compared.

    Args:
        space: the search space.
        supernet: stays as it is.
        objective: what is scored.
        calibration: batches for the statistics, of images that the weights were trained on.
        held_out: batches for the scores, of images that they weren't.
        seed: decides the objective's random numbers.
    """

    def __init__(
        self,
        space: SearchSpace,
        supernet: Supernet,
        objective: LossOf,
        calibration: Iterable[Batch],
        held_out: Iterable[Batch],
        seed: int,
    ) -> None:
        self.space, self.supernet, self.seed = space, supernet, seed
        self._objective = objective
        self._copy: FixedSupernet | None = None
        weight = next(supernet.parameters())
        self._calibration = [(x.to(weight), y.to(weight.device)) for x, y in calibration]
        self._held_out = [(x.to(weight), y.to(weight.device)) for x, y in held_out]

    @property
    def images(self) -> int:
        """How many a score is the mean of."""
        return sum(len(y) for _, y in self._held_out)

    def network(self, genotype: Genotype) -> nn.Module:
        """A network of its own that gives what the supernet gives under a genotype's one-hot weights, not calibrated.

        Small where the space can take the genotype's weights out of the supernet; else a copy of the whole.
        """
        try:
            return self.space.inherit(self.supernet, genotype)
        except UnsupportedError:  # partial channels
            return FixedSupernet(copy.deepcopy(self.supernet), self.space.one_hot(genotype))

    def score(self, network: nn.Module) -> PathScore:
        """The score of a network after its BatchNorm statistics were taken anew; its modes stay as they are."""
        recalibrate(network, self._calibration)
        loss = correct = objective_correct = 0.0
        with evaluation_mode(network), without_gradients(network.parameters()):
            for number, (x, y) in enumerate(self._held_out):
                outcome = self._objective(network, x, y, generator(self.seed, "path", number))
                with torch.no_grad():
                    logits = outcome.logits if outcome.inputs is x else network(x)
                loss += float(outcome.loss.detach()) * len(y)
                objective_correct += _correct(outcome.logits, y)
                correct += _correct(logits, y)
        return PathScore(loss / self.images, correct / self.images, objective_correct / self.images)

    def score_of(self, genotype: Genotype) -> PathScore:
        """The score of a genotype's path."""
        try:
            return self.score(self.space.inherit(self.supernet, genotype))
        except UnsupportedError:  # a copy for all of them: it takes longer to make than to score
            if self._copy is None:
                self._copy = FixedSupernet(copy.deepcopy(self.supernet), self.space.one_hot(genotype))
            self._copy.fix(self.space.one_hot(genotype))
            return self.score(self._copy)


class FixedSupernet(nn.Module):
    """A supernet under operation weights that don't change: x (N, C, H, W) -> logits (N, K).

    Args:
        supernet: becomes a part of it.
        weights: until :meth:`fix` gives it others.
        sparse: operations of weight 0 are left out, so that one-hot weights cost what the derived network does. Else
            the supernet is computed as it is set to be, which is faster where most weights aren't 0.
    """

    def __init__(self, supernet: Supernet, weights: OperationWeights, sparse: bool = True) -> None:
        super().__init__()
        self.supernet = supernet
        if sparse:
            use_implementation(supernet, "reference")  # the others compute all operations
            for module in submodules(supernet):
                if isinstance(module, MixedOperation):
                    module.leaves_out_zeros = True
        self.fix(weights)

    def fix(self, weights: OperationWeights) -> None:
        """Sets the operation weights."""
        like = next(self.supernet.parameters())
        self.weights = {
            cell_type: CellWeights(
                cell.operations.detach().to(like), None if cell.edges is None else cell.edges.detach().to(like)
            )
            for cell_type, cell in weights.items()
        }

    def forward(self, x: Tensor) -> Tensor:
        return self.supernet(x, self.weights)


def recalibrate(network: nn.Module, batches: Sequence[Batch]) -> None:
    """Sets BatchNorm's running statistics to the mean over some batches of what each is normalised by in training mode.

    Args:
        network: comes back in the modes in which it came.
        batches: x and y, where the network is.
    """
    norms = [m for m in submodules(network) if isinstance(m, _BatchNorm) and m.running_mean is not None]
    modes = [(module, module.training) for module in submodules(network)]
    momenta = [norm.momentum for norm in norms]
    try:
        network.train()
        with torch.no_grad():
            for number, (x, _) in enumerate(batches):
                for norm in norms:
                    norm.momentum = 1 / (number + 1)  # running mean; a momentum of None keeps faster kernels out
                network(x)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, training in modes:
            module.training = training


def _correct(logits: Tensor, y: Tensor) -> float:
    return float((logits.argmax(dim=1) == y).sum())
