"""SmoothDARTS: weight steps under perturbed operation weights."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from dsrna.distributed.group import averaged_all
from dsrna.errors import ConfigError, NonFiniteError
from dsrna.spaces.search_space import SearchSpace
from dsrna.spaces.supernet import Supernet
from dsrna.strategies.architecture import Architecture
from dsrna.strategies.regularisers.base import Regulariser
from dsrna.strategies.search_step import SearchStep
from dsrna.types import CellWeights, OperationWeights

Perturbation = Literal["random", "adversarial"]


class Sdarts(Regulariser):
    """In a weight step the operation weights are w + d with |d| <= r, so that the network serves cells around them too.

    ``random``: d uniform in [-r, r], for each operation of each edge. ``adversarial``: d increases the loss of the
    step's images: ``steps`` steps of 2 r / steps along the sign of the gradient from a uniform start; where that ends
    below the loss without d, d = 0. r grows linearly over the search. After every change w + d is clipped to [0, 1] and
    divided by its sum, so that the weights of an edge keep theirs; where nothing is left, its largest is the one. Of
    sigmoids, which have no sum to keep, w + d is clipped alone. A weight of 0 is of an operation that was dropped, and
    stays. Architecture steps, validation and what is derived see w.

    Cost of ``adversarial``: ``steps`` + 2 more forward passes and ``steps`` backward passes a weight step.

    Args:
        perturbation: ``"random"`` or ``"adversarial"``.
        radius_start: r of the first step, in [0, 1].
        radius_end: r that the last step arrives at, in [0, 1].
        steps: of ``adversarial``, >= 1.

    Raises:
        ConfigError: a value is out of range.

    Source: Chen and Hsieh, SmoothDARTS (ICML 2020), eqs. 4 to 6: of the operation weights, as in its released code.
    Differs from that: r grows from step to step and not from epoch to epoch; the adversary sees BatchNorm as weight
    steps do, by the batch's statistics, where the code's sees running ones; and its loss is the cross-entropy on the
    step's own images as they are, whatever the objective.
    """

    def __init__(
        self,
        perturbation: Perturbation = "random",
        radius_start: float = 0.03,
        radius_end: float = 0.3,
        steps: int = 7,
    ) -> None:
        if perturbation not in get_args(Perturbation):
            raise ConfigError(
                f"Expected `perturbation` to be one of {', '.join(get_args(Perturbation))}, got {perturbation!r}. "
                "(conf: perturbation)"
            )
        for name, value in (("radius_start", radius_start), ("radius_end", radius_end)):
            if not 0 <= value <= 1:
                raise ConfigError(f"Expected `{name}` in [0, 1], got {value}. (conf: {name})")
        if steps < 1:
            raise ConfigError(f"Expected `steps` >= 1, got {steps}. (conf: steps)")
        self.perturbation, self.radii, self.steps = perturbation, (radius_start, radius_end), steps
        self._on_simplex = True
        self._moves: dict[str, Tensor] = {}

    def check(self, space: SearchSpace, architecture: Architecture) -> None:
        """See :class:`Regulariser`."""
        if architecture.one_hot:
            raise ConfigError(
                f"sdarts moves operation weights a little, and {type(architecture).__name__} draws one operation of "
                "weight 1 an edge, which would mix in all others: leave out one of the two. (conf: strategy)"
            )

    def prepare(self, space: SearchSpace, supernet: Supernet, architecture: Architecture) -> None:
        """See :class:`Regulariser`."""
        self._on_simplex = architecture.on_simplex

    def begin_step(self, step: SearchStep, weights: OperationWeights) -> None:
        """See :class:`Regulariser`."""
        self._moves = {}
        first, last = self.radii
        radius = first + (last - first) * step.progress
        if step.kind != "weights" or radius == 0:
            return
        plain = {name: CellWeights(cell.operations.detach(), _detached(cell.edges)) for name, cell in weights.items()}
        moves = {name: _uniform(cell.operations, radius, step.generator) for name, cell in plain.items()}
        self._moves = moves if self.perturbation == "random" else self._against(step, plain, moves, radius)

    def reweighted(self, weights: OperationWeights) -> OperationWeights:
        """See :class:`Regulariser`."""
        return self._moved(weights, self._moves) if self._moves else weights

    def _moved(self, weights: OperationWeights, moves: dict[str, Tensor]) -> OperationWeights:
        move = _on_simplex if self._on_simplex else _in_unit_interval
        return {name: CellWeights(move(cell.operations, moves[name]), cell.edges) for name, cell in weights.items()}

    def _measured(self, cell: CellWeights) -> Tensor:
        """What r is a radius of."""
        operations = cell.operations.detach()
        return _shares(operations) if self._on_simplex else operations

    def _against(
        self, step: SearchStep, plain: OperationWeights, moves: dict[str, Tensor], radius: float
    ) -> dict[str, Tensor]:
        """Moves that increase the step's loss; none where these don't."""
        for _ in range(self.steps):
            at = {
                name: CellWeights(cell.operations.detach().requires_grad_(), cell.edges)
                for name, cell in self._moved(plain, moves).items()
            }
            with torch.enable_grad():
                slopes = averaged_all(torch.autograd.grad(step.loss(at), [cell.operations for cell in at.values()]))
            for (name, cell), slope in zip(at.items(), slopes, strict=True):
                if not bool(slope.isfinite().all()):  # whose sign would be 0: no move, and no word
                    raise NonFiniteError(
                        f"sdarts: the loss's gradient in the operation weights of the {name} cell became NaN or "
                        "infinite. Lower the learning rate, or clip the gradient to a smaller norm."
                    )
                further = self._measured(cell) + 2 * radius / self.steps * slope.sign()
                moves[name] = (further - self._measured(plain[name])).clamp(-radius, radius)
        with torch.no_grad():
            moved, unmoved = averaged_all([step.loss(self._moved(plain, moves)), step.loss(plain)])
            helps = moved >= unmoved
        return moves if helps else {}


def _on_simplex(operations: Tensor, move: Tensor) -> Tensor:
    total, exists = operations.sum(dim=1, keepdim=True), operations > 0
    values = (_shares(operations) + move).where(exists, -torch.inf)
    inside = values.clamp(0, 1)
    largest = torch.zeros_like(inside).scatter(1, values.argmax(dim=1, keepdim=True), 1.0)
    return total * _shares(inside.where(inside.sum(dim=1, keepdim=True) > 0, largest))


def _in_unit_interval(operations: Tensor, move: Tensor) -> Tensor:
    most = operations.detach().clamp(min=1)  # a regulariser before may have added to it
    return (operations + move).clamp(min=0).minimum(most).where(operations > 0, 0)


def _shares(operations: Tensor) -> Tensor:
    return operations / operations.sum(dim=1, keepdim=True).clamp(min=torch.finfo(operations.dtype).tiny)


def _uniform(like: Tensor, radius: float, generator: torch.Generator) -> Tensor:
    draw = torch.rand(like.shape, generator=generator, dtype=torch.float64)
    return (radius * (2 * draw - 1)).to(like)


def _detached(edges: Tensor | None) -> Tensor | None:
    return None if edges is None else edges.detach()
