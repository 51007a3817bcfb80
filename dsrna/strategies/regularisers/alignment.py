"""Layer alignment of Lambda-DARTS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dsrna.errors import ConfigError
from dsrna.nn.edges.mixed_edges import MixedEdges
from dsrna.nn.modes import parameters_of, without_gradients
from dsrna.spaces.search_space import SearchSpace
from dsrna.spaces.supernet import Supernet
from dsrna.strategies.architecture import Architecture
from dsrna.strategies.regularisers.base import Regulariser
from dsrna.strategies.search_step import SearchStep
from dsrna.types import CellWeights, OperationWeights


class Alignment(Regulariser):
    """Weight steps also raise Lambda = mean_{l < m} cos(g_l, g_m): cells of a type ask for the same operations.

    g_l is the gradient of the weight step's cross-entropy in the operation weights as cell l alone uses them; the mean
    is over pairs of cells of a type, then over types of two cells or more. What is added to the weight step's loss has
    the gradient -lambda_t d Lambda / d w, by a finite difference: with d_l = d Lambda / d g_l and
    e = ``step`` / ||d||, (L(w; p_l + e d_l) - L(w; p_l - e d_l)) / (2 e). lambda_t = weight * progress.

    Cost: three more forward and backward passes a weight step, two of them held in memory beside its own. L is the
    cross-entropy on clean images, whatever the weights objective.

    Args:
        weight: lambda at the end of the search, > 0.
        step: length of the finite difference over all cells, > 0.

    Raises:
        ConfigError: a value is out of range.

    Source: Movahedi et al., Lambda-DARTS (ICLR 2023), with the released code's growth of lambda by the epoch (here by
    the step) and its finite difference, whose step is 1e-4 there; in float32 that is mostly rounding for small
    gradients, so the default here is larger.
    """

    def __init__(self, weight: float = 0.25, step: float = 1e-2) -> None:
        for name, value in (("weight", weight), ("step", step)):
            if not 0 < value < float("inf"):
                raise ConfigError(f"Expected a finite `{name}` > 0, got {value}. (conf: {name})")
        self.weight, self.step = weight, step
        self._cells: list[nn.Module] = []
        self._penalty: Callable[[], Tensor] | None = None

    def prepare(self, space: SearchSpace, supernet: Supernet, architecture: Architecture) -> None:
        """See :class:`Regulariser`."""
        self._cells = [cell for cell in supernet.modules() if isinstance(getattr(cell, "edges", None), MixedEdges)]
        self._parameters = parameters_of(supernet)
        if len(self._cells) <= len(space.cell_types):
            raise ConfigError(
                f"alignment compares cells of a type with one another, and the supernet has {len(self._cells)} cells "
                f"of {len(space.cell_types)} types: take more cells, or leave it out. (conf: search.cells)"
            )

    def begin_step(self, step: SearchStep, weights: OperationWeights) -> None:
        """See :class:`Regulariser`."""
        self._penalty = None
        factor = self.weight * step.progress
        if step.kind != "weights" or factor == 0:
            return
        plain = {
            name: CellWeights(cell.operations.detach(), None if cell.edges is None else cell.edges.detach())
            for name, cell in weights.items()
        }
        types, own = self._own_gradients(step, plain)
        directions = alignment_slopes(types, own)
        if (size := torch.stack([direction.norm() for direction in directions]).norm()) == 0:
            return
        reach = self.step / size

        def at(sign: int) -> Tensor:
            moved = [sign * reach * direction for direction in directions]
            with self._given(plain, lambda number, cell: cell.operations + moved[number]):
                return step.loss(plain)

        self._penalty = lambda: -factor * (at(1) - at(-1)) / (2 * reach)

    def weights_penalty(self) -> Tensor | None:
        """See :class:`Regulariser`."""
        return None if self._penalty is None else self._penalty()

    def _own_gradients(self, step: SearchStep, weights: OperationWeights) -> tuple[list[str], list[Tensor]]:
        """Type and g of each cell."""
        leaves: dict[int, Tensor] = {}
        types: dict[int, str] = {}

        def leaf(number: int, cell: CellWeights) -> Tensor:
            types[number] = next(name for name, given in weights.items() if given is cell)
            leaves[number] = cell.operations.clone().requires_grad_()
            return leaves[number]

        with self._given(weights, leaf), without_gradients(self._parameters), torch.enable_grad():
            loss = step.loss(weights)
        order = sorted(leaves)
        gradients = torch.autograd.grad(loss, [leaves[number] for number in order], materialize_grads=True)
        return [types[number] for number in order], list(gradients)

    @contextmanager
    def _given(self, weights: OperationWeights, of_cell: Callable[[int, CellWeights], Tensor]) -> Iterator[None]:
        """Inside, each cell gets operation weights of its own."""

        def hook(number: int) -> Callable[[nn.Module, Any, dict[str, Any]], tuple[Any, dict[str, Any]]]:
            def change(module: nn.Module, inputs: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
                cell = named["weights"]
                return inputs, named | {"weights": CellWeights(of_cell(number, cell), cell.edges)}

            return change

        with ExitStack() as stack:
            for number, cell in enumerate(self._cells):
                stack.callback(cell.register_forward_pre_hook(hook(number), with_kwargs=True).remove)
            yield


def alignment_slopes(types: list[str], gradients: list[Tensor]) -> list[Tensor]:
    """d Lambda / d g_l of every cell; zero for a gradient that is zero, which has no direction."""
    slopes = [torch.zeros_like(gradient) for gradient in gradients]
    groups = [[i for i, own in enumerate(types) if own == name] for name in dict.fromkeys(types)]
    groups = [group for group in groups if len(group) > 1]
    for group in groups:
        scales = {i: gradients[i].abs().max() for i in group}
        units = {i: g / g.norm() if scales[i] > 0 else g for i in group for g in [gradients[i] / (scales[i] or 1)]}
        total = torch.stack(list(units.values())).sum(dim=0)
        pairs = len(group) * (len(group) - 1) / 2 * len(groups)
        for i in group:
            if scales[i] > 0:
                along = (units[i] * total).sum() * units[i]
                slopes[i] = (total - along) / (gradients[i] / scales[i]).norm() / scales[i] / pairs
    return slopes
