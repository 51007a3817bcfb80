"""What every search space promises, as one function to call from a test."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dsrna.errors import DsrnaError, GenotypeError
from dsrna.types import CellWeights, OperationWeights


class Space(Protocol):
    """The part of a search space's contract that the suite uses; genotypes are those of dsrna.spaces.genotype."""

    @property
    def name(self) -> str: ...
    @property
    def cell_types(self) -> tuple[str, ...]: ...
    @property
    def primitives(self) -> tuple[str, ...]: ...
    def edges(self, cell_type: str) -> tuple[tuple[int, int], ...]: ...
    def weight_shapes(self) -> dict[str, tuple[int, int]]: ...
    def allowed(self, cell_type: str) -> Tensor: ...
    def supernet(self, shape: tuple[int, int, int], classes: int, *args: Any, **sizes: Any) -> nn.Module: ...
    def network(
        self, genotype: Any, shape: tuple[int, int, int], classes: int, *args: Any, **sizes: Any
    ) -> nn.Module: ...
    def inherit(self, supernet: Any, genotype: Any) -> nn.Module: ...
    def derive(self, weights: OperationWeights) -> Any: ...
    def one_hot(self, genotype: Any) -> OperationWeights: ...
    def check(self, genotype: Any) -> None: ...


CLASSES = 5


def random_operation_weights(space: Space, generator: torch.Generator, among: str = "") -> OperationWeights:
    """Operation weights uniform in [0, 1), drawn for every cell type of a space; no edge weights.

    Args:
        space: the space.
        generator: source of the numbers.
        among: primitives with this in their names get the weight 0.
    """
    weights = {
        cell_type: CellWeights(torch.rand(shape, generator=generator))
        for cell_type, shape in space.weight_shapes().items()
    }
    for cell in weights.values():
        cell.operations[:, [bool(among) and among in name for name in space.primitives]] = 0
    return weights


def check_space(
    space: Space,
    round_trip: Callable[[Any], Any],
    sizes: Mapping[str, Any],
    shape: tuple[int, int, int] = (3, 8, 8),
    genotypes: int = 5,
    seed: int = 0,
    draws: bool = False,
) -> None:
    """Checks a space on random genotypes of its own.

    Edges lead from earlier nodes to later ones, in the order of operation weights. What ``derive`` gives is canonical,
    has the best operation of each edge that it keeps (but for none), passes ``check``, survives its codec, and is found
    again from its one-hot operation weights, whose rows are its operations on the space's edges; weights that are
    negative or NaN give none. ``check``, and so ``network``, refuses whatever is malformed. The supernet under one-hot
    weights equals the derived network with its weights, in training and evaluation mode; a fresh derived network with
    the same weights does too, where it has no pooling, after which supernets normalise; it is another one for another
    genotype, and its logits depend on the image and not on batch mates. Under random operation weights, gradients reach
    the weights of every edge, and of every operation but none; weights of another space are refused.

    Args:
        space: the search space.
        round_trip: writes a genotype as text and reads it back.
        sizes: further arguments of ``space.supernet`` and ``space.network``, chosen small.
        shape: (C, H, W) of the images.
        genotypes: how many to try.
        seed: seed of genotypes, images and network weights.
        draws: whether an operation draws random numbers in training mode; networks are compared in the other one then.

    Raises:
        AssertionError: something doesn't hold; the message says what.
    """
    _check_edges(space)
    generator = torch.Generator().manual_seed(seed)
    supernet = _seeded(lambda: space.supernet(shape, CLASSES, **sizes), seed)
    x = torch.rand(4, *shape, generator=generator)
    found = []
    for _ in range(genotypes):
        weights = random_operation_weights(space, generator)
        genotype = space.derive(weights)
        _check_derived(space, genotype, weights, round_trip)
        modes = (False,) if draws else (True, False)
        network = space.inherit(supernet, genotype)
        _check_one_hot_equality(supernet, network, space.one_hot(genotype), x, genotype, modes)
        found.append(genotype)
    _check_refusals(space, found[0], shape, sizes)
    _check_networks(space, supernet, found, sizes, x, generator, not draws)
    _check_gradients(supernet.train(), random_operation_weights(space, generator), x)


def _check_edges(space: Space) -> None:
    for cell_type, (count, operations) in space.weight_shapes().items():
        edges = space.edges(cell_type)
        _require((len(edges), len(space.primitives)) == (count, operations), "weights of another shape than", edges)
        _require(all(source < target for source, target in edges), "an edge that leads backwards among", edges)
        in_order = sorted(set(edges), key=lambda edge: edge[::-1])
        _require(list(edges) == in_order, "not by ascending target, then source", edges)
    _require(set(space.weight_shapes()) == set(space.cell_types), "weights of other cell types than", space.cell_types)


def _check_derived(space: Space, genotype: Any, weights: OperationWeights, round_trip: Callable[[Any], Any]) -> None:
    space.check(genotype)
    _require(genotype.space == space.name, f"expected a genotype of {space.name}, got one of", genotype.space)
    _require(genotype == genotype.canonical(), "`derive` gives a genotype that isn't canonical", genotype)
    _require(round_trip(genotype) == genotype, "a genotype differs after a round trip through its codec", genotype)
    one_hot = space.one_hot(genotype)
    _require(space.derive(one_hot) == genotype, "derive(one_hot(genotype)) is another genotype", genotype)
    none = space.primitives.index("none") if "none" in space.primitives else -1
    for cell_type, cell in genotype.cells.items():
        edges = space.edges(cell_type)
        first = min(target for _, target in edges)
        named = {(source, target): name for target, node in enumerate(cell.nodes, start=first) for name, source in node}
        rows = weights[cell_type].operations.masked_fill(~space.allowed(cell_type), -1)
        for edge, chosen, row in zip(edges, one_hot[cell_type].operations, rows, strict=True):
            name = named.pop(edge, "none")
            picked = [space.primitives[column] for column in chosen.nonzero()[:, 0].tolist()]
            _require(
                picked == [name] or (picked == [] and name == "none"), f"edge {edge} has {name}, one-hot {picked}", cell
            )
            others = [value for column, value in enumerate(row.tolist()) if column != none]
            best = name == "none" or row[space.primitives.index(name)] >= max(others)
            _require(best, f"edge {edge} has {name}, which isn't its best operation", row)
        _require(not named, f"operations on no edge of the space, {sorted(named)}", cell)


def _check_refusals(space: Space, genotype: Any, shape: tuple[int, int, int], sizes: Mapping[str, Any]) -> None:
    for what, wrong in _malformed(genotype):
        for name, use in (("check", space.check), ("network", lambda g: space.network(g, shape, CLASSES, **sizes))):
            try:
                use(wrong)
            except GenotypeError:
                continue
            raise AssertionError(f"`{name}` accepts a genotype {what}: {wrong}")
    for value in (float("nan"), -1.0):
        weights = random_operation_weights(space, torch.Generator().manual_seed(0))
        next(iter(weights.values())).operations[0, -1] = value
        try:
            space.derive(weights)
        except DsrnaError:
            continue
        raise AssertionError(f"`derive` takes a weight of {value}")


def _malformed(genotype: Any) -> Iterator[tuple[str, Any]]:
    cell_type, cell = next(iter(genotype.cells.items()))
    *others, last = cell.nodes
    (operation, source), *rest = last

    def with_cells(cells: Mapping[str, Any]) -> Any:
        return dataclasses.replace(genotype, cells=dict(cells))

    def with_cell(**changes: Any) -> Any:
        return with_cells({**genotype.cells, cell_type: dataclasses.replace(cell, **changes)})

    def with_last(*pairs: tuple[str, int]) -> Any:
        return with_cell(nodes=(*others, pairs))

    yield "of another space", dataclasses.replace(genotype, space="another")
    yield "without a cell", with_cells({name: each for name, each in genotype.cells.items() if name != cell_type})
    yield "with a cell of an unknown type", with_cells({**genotype.cells, "another": cell})
    yield "without its last node", with_cell(nodes=tuple(others))
    yield "with a node too many", with_cell(nodes=(*cell.nodes, last))
    yield "with an unknown operation", with_last(("no_such_operation", source), *rest)
    yield "with an input that isn't there yet", with_last((operation, 100), *rest)
    yield "with a negative input", with_last((operation, -1), *rest)
    yield "with an edge twice", with_last((operation, source), *last)
    yield "with an edge too few", with_last(*rest)
    yield "whose output is a node that isn't there", with_cell(concat=(100,))
    yield "without an output", with_cell(concat=())


def _check_one_hot_equality(
    supernet: nn.Module,
    network: nn.Module,
    one_hot: OperationWeights,
    x: Tensor,
    genotype: Any,
    modes: tuple[bool, ...],
) -> None:
    # Training mode comes first and moves running statistics in both, so that evaluation mode compares these too.
    for training in modes:
        supernet.train(training)
        network.train(training)
        difference = (supernet(x, one_hot) - network(x)).abs().max().item()
        mode = "training" if training else "evaluation"
        _require(difference < 1e-5, f"one-hot supernet and derived network differ by {difference} in {mode}", genotype)


def _check_networks(
    space: Space,
    supernet: nn.Module,
    genotypes: list[Any],
    sizes: Mapping[str, Any],
    x: Tensor,
    generator: torch.Generator,
    training: bool,
) -> None:
    """Fresh derived networks, which have scales and shifts, and no BatchNorm after poolings."""
    if any("pool" not in name and name != "none" for name in space.primitives):
        genotypes = [*genotypes[:2], space.derive(random_operation_weights(space, generator, among="pool"))]
    shape = (x.shape[1], x.shape[2], x.shape[3])
    seen: dict[str, Any] = {}
    for genotype in genotypes:
        network = _seeded(lambda genotype=genotype: space.network(genotype, shape, CLASSES, **sizes), 0)  # type: ignore[misc]
        logits = network(x)
        _require(logits.shape == (len(x), CLASSES), f"expected logits {(len(x), CLASSES)}, got", tuple(logits.shape))
        _require(logits.requires_grad, "the logits don't depend on weights", genotype)
        twin = seen.setdefault(str(logits.tolist()), genotype)
        _require(twin == genotype, f"the network of {twin} is also that of", genotype)
        _check_same_function(network, space.inherit(supernet.train(), genotype), x, genotype, training)
        network.eval()
        alone, mixed = network(x), network(torch.cat([x[:1], 1 - x[1:]]))
        _require(torch.allclose(mixed[0], alone[0], atol=1e-5), "logits depend on batch mates", genotype)
        if training:  # noise on all ways is no mistake of the space
            _require(not torch.allclose(mixed[1:], alone[1:]), "logits don't depend on the images", genotype)


def _check_same_function(network: nn.Module, inheriting: nn.Module, x: Tensor, genotype: Any, training: bool) -> None:
    if any("pool" in name for cell in genotype.cells.values() for node in cell.nodes for name, _ in node):
        return
    try:
        unknown = network.load_state_dict(inheriting.state_dict(), strict=False).unexpected_keys
    except RuntimeError as error:
        raise AssertionError(f"`network` has weights of other shapes than `inherit`: {genotype}") from error
    _require(not unknown, f"`network` lacks {', '.join(unknown)} of `inherit`", genotype)
    difference = (network.train(training)(x) - inheriting.train(training)(x)).abs().max().item()
    _require(difference < 1e-4, f"`network` differs by {difference} from `inherit` with its weights", genotype)


def _check_gradients(supernet: nn.Module, weights: OperationWeights, x: Tensor) -> None:
    leaves = [cell.operations.requires_grad_() for cell in weights.values()]
    gradients = torch.autograd.grad(supernet(x, weights).square().sum(), leaves)
    for cell_type, gradient in zip(weights, gradients, strict=True):
        columns, rows = gradient.abs().amax(dim=0), gradient.abs().amax(dim=1)
        _require(bool(gradient.isfinite().all()), "a gradient to operation weights isn't finite", cell_type)
        _require(int((columns == 0).sum()) <= 1, "only none may have no gradient to its weights", cell_type)
        _require(bool((rows > 0).all()), "an edge's weights have no gradient", cell_type)
    others = {name: CellWeights(cell.operations.detach()[:, 1:]) for name, cell in weights.items()}
    try:
        supernet(x, others)
    except DsrnaError:
        return
    raise AssertionError("the supernet takes operation weights of another space, with an operation less")


def _seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def _require(holds: bool, message: str, subject: object) -> None:
    if not holds:
        raise AssertionError(f"{message}: {subject}")
