"""Conformance suite of search strategies: what holds for every one of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dsrna.types import CellWeights, OperationWeights

_TOLERANCE = 1e-5


class Space(Protocol):
    """The part of a search space's contract that the suite uses."""

    cell_types: tuple[str, ...]

    def weight_shapes(self) -> dict[str, tuple[int, int]]: ...
    def edges(self, cell_type: str) -> tuple[tuple[int, int], ...]: ...
    def derive(self, weights: OperationWeights) -> Any: ...
    def one_hot(self, genotype: Any) -> OperationWeights: ...


def check_strategy(strategy: Any, space: Any, seed: int = 0) -> None:
    """Checks that a strategy keeps the contract of :class:`dsrna.strategies.architecture.Architecture`.

    Weights have the space's shapes, are non-negative and on the simplex (or in [0, 1], where the strategy declares so);
    ``initial`` and ``begin_step`` draw from their generators alone; between steps ``forward`` is a pure function of the
    alphas, in training and evaluation mode; the same generator gives the same weights, in a fresh copy that loads the
    state too; ``expected`` never depends on a draw, and the mean of many draws prefers the operations that it prefers;
    every parameter gets a gradient; what is derived from ``expected`` is what the alphas were trained towards.

    Args:
        strategy: builds the architecture by ``initial(space, generator)``.
        space: a search space.
        seed: seed of alphas and draws.

    Raises:
        AssertionError: something doesn't hold; the message says what.
    """
    _check_initial(strategy, space, seed)
    architecture = strategy.initial(space, _draw(seed))
    _spread(architecture, _draw(seed + 1))
    _check_weights(architecture.expected(), space, architecture.on_simplex, "expected()")
    _check_weights(architecture(), space, architecture.on_simplex, "forward() before any step")
    for progress in (0.0, 0.5, 0.99):
        architecture.begin_step(progress, _draw(seed + 2))
        _check_weights(architecture(), space, architecture.on_simplex, f"forward() at progress {progress}")
        _check_pure(architecture)
        _check_the_draw(architecture, strategy, space, progress, seed)
        _check_gradients(architecture, f"at progress {progress}")
    _check_derivation(strategy, space, seed)


def _check_initial(strategy: Any, space: Space, seed: int) -> None:
    before = torch.random.get_rng_state()
    first, again, other = (strategy.initial(space, _draw(number)) for number in (seed, seed, seed + 1))
    _require(torch.equal(before, torch.random.get_rng_state()), "initial() draws from torch's global generator")
    _require(_same(first.state_dict(), again.state_dict()), "initial() differs under the same generator")
    _require(not _same(first.state_dict(), other.state_dict()), "initial() doesn't look at its generator")
    _require(len(list(first.parameters())) > 0, "the architecture has no parameters")


def _check_weights(weights: OperationWeights, space: Space, on_simplex: bool, what: str) -> None:
    shapes = space.weight_shapes()
    _require(list(weights) == list(shapes), f"{what} has the cell types {list(weights)}, not {list(shapes)}")
    for cell_type, cell in weights.items():
        operations = cell.operations.detach()
        where = f"{what}, {cell_type} cell"
        _require(tuple(operations.shape) == shapes[cell_type], f"{where}: shape {tuple(operations.shape)}")
        _require(bool(operations.isfinite().all()), f"{where}: a weight isn't finite")
        _require(bool((operations >= 0).all()), f"{where}: a weight is negative")
        if on_simplex:
            off = float((operations.sum(dim=1) - 1).abs().max())
            _require(off < _TOLERANCE, f"{where}: the weights of an edge sum to 1 but for {off:.2g}")
        else:
            _require(bool((operations <= 1).all()), f"{where}: a weight is above 1")
        if cell.edges is not None:
            edges = cell.edges.detach()
            targets = [target for _, target in space.edges(cell_type)]
            for node in set(targets):
                total = float(sum(edges[i] for i, target in enumerate(targets) if target == node))
                _require(abs(total - 1) < _TOLERANCE, f"{where}: the edge weights of node {node} sum to {total:.3g}")


def _check_pure(architecture: nn.Module) -> None:
    """Within a step, whatever is called in between."""
    rng = torch.random.get_rng_state()
    once = _plain(architecture())
    _require(_equal(once, _plain(architecture())), "forward() differs from call to call within a step")
    _require(torch.equal(rng, torch.random.get_rng_state()), "forward() draws from torch's global generator")
    was_training = architecture.training
    _require(_equal(once, _plain(architecture.eval()())), "forward() differs in evaluation mode")
    architecture.train(was_training)
    architecture.expected()  # type: ignore[operator]
    architecture.entropy()  # type: ignore[operator]
    with torch.no_grad():
        _require(_equal(once, _plain(architecture())), "forward() differs after expected(), or without gradients")
    state = copy.deepcopy(architecture.state_dict())
    with torch.no_grad():
        for parameter in architecture.parameters():
            parameter.mul_(0.5)
        architecture()
    architecture.load_state_dict(state)
    _require(_equal(once, _plain(architecture())), "forward() is no function of the alphas alone within a step")


def _check_the_draw(architecture: Any, strategy: Any, space: Space, progress: float, seed: int) -> None:
    once, expected = _plain(architecture()), _plain(architecture.expected())
    fresh = strategy.initial(space, _draw(seed + 9))
    fresh.load_state_dict(architecture.state_dict())
    fresh.begin_step(progress, _draw(seed + 2))
    _require(_equal(once, _plain(fresh())), "a resumed architecture draws other weights under the same generator")
    total = [torch.zeros_like(cell) for cell in once]
    rounds = 300
    changed = False
    for number in range(rounds):
        fresh.begin_step(progress, _draw(seed + 100 + number))
        drawn = _plain(fresh())
        changed = changed or not _equal(drawn, once)
        _require(_equal(expected, _plain(fresh.expected())), "expected() depends on the draw")
        total = [sum_ + cell / rounds for sum_, cell in zip(total, drawn, strict=True)]
    _require(changed or _close(once, expected), "forward() is not expected(), and begin_step() draws nothing")
    for mean, cell in zip(total, expected, strict=True):
        if mean.dim() < 2:
            continue
        clear = _decided(cell)
        _require(bool(clear.any()), "no edge is decided where the alphas are far apart")
        agree = mean.argmax(dim=1) == cell.argmax(dim=1)
        _require(bool(agree[clear].all()), "the mean of many draws prefers other operations than expected()")


def _check_gradients(architecture: Any, when: str) -> None:
    names = [name for name, _ in architecture.named_parameters()]
    for what, weights in (("forward()", architecture()), ("expected()", architecture.expected())):
        draw = _draw(5)
        terms = [
            (values * torch.rand(values.shape, generator=draw).to(values)).sum()
            for cell in weights.values()
            for values in cell
            if values is not None
        ]
        gradients = torch.autograd.grad(torch.stack(terms).sum(), list(architecture.parameters()), allow_unused=True)
        for name, gradient in zip(names, gradients, strict=True):
            reached = gradient is not None and bool((gradient != 0).any())
            _require(reached, f"no gradient reaches {name} from {what} {when}")
            _require(bool(gradient.isfinite().all()), f"a gradient of {name} from {what} {when} isn't finite")


def _check_derivation(strategy: Any, space: Space, seed: int) -> None:
    """Alphas that are trained towards a genotype, by their expected weights alone, derive it, whatever is drawn."""
    for number in range(2):
        draw = _draw(seed + number)
        shapes = space.weight_shapes()
        genotype = space.derive(
            {name: CellWeights(torch.rand(shape, generator=draw)) for name, shape in shapes.items()}
        )
        target = space.one_hot(genotype)
        architecture = strategy.initial(space, _draw(seed))
        optimizer = torch.optim.Adam(architecture.parameters(), lr=0.1)
        for _ in range(60):
            optimizer.zero_grad()
            weights = architecture.expected()
            loss = torch.stack([_distance(weights[name], target[name]) for name in weights]).sum()
            loss.backward()
            optimizer.step()
        for step in range(3):
            architecture.begin_step(0.9, _draw(step))
            found = space.derive(architecture.expected())
            _require(found == genotype, f"expected() was trained towards {genotype}, and {found} is derived")


def _distance(weights: CellWeights, target: CellWeights) -> Tensor:
    """Squared distance, with operations counted by the weight of their edge; unused edges are to lose theirs."""
    used = (target.operations.sum(dim=1) > 0).to(weights.operations)
    distance = ((weights.operations - target.operations) ** 2).sum(dim=1) @ used
    if weights.edges is not None:
        distance = distance + ((1 - used) * weights.edges).sum()
    return distance


def _spread(architecture: nn.Module, draw: torch.Generator) -> None:
    """Alphas far enough apart that edges are decided; where they are more than that, the strategy's own business."""
    for _ in range(20):
        with torch.no_grad():
            for parameter in architecture.parameters():
                parameter.add_(2 * torch.randn(parameter.shape, generator=draw).to(parameter))
            if all(bool(_decided(cell.operations).any()) for cell in architecture.expected().values()):  # type: ignore[operator]
                return


def _decided(operations: Tensor) -> Tensor:
    """(E,) bool: the edges one of whose operations has clearly more weight than the others."""
    best, next_best = operations.topk(2, dim=1).values.unbind(1)
    return best > next_best + 0.3


def _plain(weights: OperationWeights) -> list[Tensor]:
    return [values.detach().clone() for cell in weights.values() for values in _given(cell)]


def _given(cell: CellWeights) -> Iterator[Tensor]:
    yield cell.operations
    if cell.edges is not None:
        yield cell.edges


def _equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def _close(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.allclose(a, b, atol=_TOLERANCE) for a, b in zip(first, second, strict=True))


def _same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def _draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
