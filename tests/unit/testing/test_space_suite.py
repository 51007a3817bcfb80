"""The conformance suite of search spaces refuses each of these mistakes, and says which."""

import dataclasses
import json

import pytest
import torch

from dsrna.errors import GenotypeError
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.derived_network import DerivedNetwork
from dsrna.spaces.genotype import CellGenotype
from dsrna.spaces.genotype_codec import from_json, to_json
from dsrna.spaces.skeletons.stacked import StackedSkeleton
from dsrna.spaces.supernet import Supernet
from dsrna.testing.space_conformance import check_space
from dsrna.types import CellWeights


class Plain(DartsSpace):
    """A small space of two nodes."""

    def __init__(self):
        super().__init__(nodes=2, primitives=("none", "skip_connect", "nor_conv_1x1", "avg_pool_3x3"))


def with_nodes(genotype, change):
    """The genotype whose nodes are ``change(node)``."""
    cells = {name: CellGenotype(tuple(map(change, cell.nodes)), cell.concat) for name, cell in genotype.cells.items()}
    return dataclasses.replace(genotype, cells=cells)


class Backwards(Plain):
    def edges(self, cell_type):
        return tuple((target, source) for source, target in super().edges(cell_type))


class BySource(Plain):
    def edges(self, cell_type):
        return tuple(sorted(super().edges(cell_type)))


class OneEdgeLess(Plain):
    def weight_shapes(self):
        return {name: (edges - 1, operations) for name, (edges, operations) in super().weight_shapes().items()}


class NotCanonical(Plain):
    def derive(self, weights):
        return with_nodes(super().derive(weights), lambda node: node[::-1])


class Weakest(Plain):
    def derive(self, weights):
        return super().derive({name: CellWeights(1 - cell.operations) for name, cell in weights.items()})


class Fixed(Plain):
    """Derives the same operation wherever weights are undecided."""

    def derive(self, weights):
        values = torch.cat([cell.operations for cell in weights.values()])
        if ((values == 0) | (values == 1)).all():
            return super().derive(weights)
        return with_nodes(super().derive(weights), lambda node: tuple(("skip_connect", source) for _, source in node))


class TakesNan(Plain):
    def derive(self, weights):
        return super().derive({name: CellWeights(cell.operations.nan_to_num()) for name, cell in weights.items()})


class TakesAlphas(Plain):
    def derive(self, weights):
        return super().derive({name: CellWeights(cell.operations.clamp(min=0)) for name, cell in weights.items()})


class OfAnotherName(Plain):
    def derive(self, weights):
        return dataclasses.replace(super().derive(weights), space="other")

    def check(self, genotype):
        super().check(dataclasses.replace(genotype, space=self.name))


class AcceptsAll(Plain):
    def check(self, genotype):
        pass


class ChecksNames(Plain):
    """Looks at names alone."""

    def check(self, genotype):
        if genotype.space != self.name or set(genotype.cells) != set(self.cell_types):
            super().check(genotype)
        for cell in genotype.cells.values():
            if any(name not in self.primitives for node in cell.nodes for name, _ in node):
                super().check(genotype)


class OtherRows(Plain):
    """One-hot weights in another order of edges, which derive reads alike."""

    def one_hot(self, genotype):
        return {n: CellWeights(c.operations.flip(0)) for n, c in super().one_hot(genotype).items()}

    def derive(self, weights):
        return super().derive({n: CellWeights(c.operations.flip(0)) for n, c in weights.items()})


class Forgetful(Plain):
    """Networks that inherit nothing."""

    def inherit(self, supernet, genotype):
        return DerivedNetwork(genotype, self.topologies, supernet.skeleton, as_in_supernet=True)


class Unchecked(Plain):
    def network(self, genotype, shape, classes, cells, channels):
        try:
            return super().network(genotype, shape, classes, cells=cells, channels=channels)
        except GenotypeError:
            return None


class OnNetworks(Plain):
    """Networks of ``self.change(genotype)``."""

    def network(self, genotype, shape, classes, cells, channels):
        self.check(genotype)
        return DerivedNetwork(self.change(genotype), self.topologies, StackedSkeleton(shape, classes, cells, channels))


class AlwaysTheSame(OnNetworks):
    def change(self, genotype):
        return with_nodes(genotype, lambda node: tuple(("nor_conv_1x1", source) for source in (0, 1)))


class OtherWiring(OnNetworks):
    """Each operation of a node reads the other one's input."""

    def change(self, genotype):
        def swapped(node):
            (first, a), (second, b) = node
            return (first, b), (second, a)

        return with_nodes(genotype, swapped)


class FirstInputTwice(OnNetworks):
    def change(self, genotype):
        return with_nodes(genotype, lambda node: tuple((name, node[0][1]) for name, _ in node))


class OneClassMore(Plain):
    def network(self, genotype, shape, classes, *args, **sizes):
        return super().network(genotype, shape, classes + 1, *args, **sizes)


class AlwaysTraining(Plain):
    def network(self, *args, **sizes):
        network = super().network(*args, **sizes)
        network.eval = network.train
        return network


class BlindSupernet(Supernet):
    def forward(self, x, weights):
        first = next(iter(weights))
        cut = {n: CellWeights(c.operations if n != first else c.operations.detach()) for n, c in weights.items()}
        return super().forward(x, cut) + 0 * weights[first].operations.sum()


class ReadsOneCellType(Plain):
    """Its supernet has no gradient to the weights of one cell type."""

    def supernet(self, *args, **sizes):
        supernet = super().supernet(*args, **sizes)
        supernet.__class__ = BlindSupernet
        return supernet


class PaddingSupernet(Supernet):
    def forward(self, x, weights):
        padded = {
            n: CellWeights(
                torch.cat(
                    [
                        c.operations,
                        c.operations[:, : len(self.topologies["normal"].primitives) - c.operations.shape[1]],
                    ],
                    1,
                )
            )
            for n, c in weights.items()
        }
        return super().forward(x, padded)


class TakesOtherWeights(Plain):
    """Its supernet makes do with operation weights of another space."""

    def supernet(self, *args, **sizes):
        supernet = super().supernet(*args, **sizes)
        supernet.__class__ = PaddingSupernet
        return supernet


def codec(genotype, space):
    return from_json(json.loads(json.dumps(to_json(genotype))), space)


def check(space, round_trip=None):
    check_space(
        space,
        round_trip or (lambda genotype: codec(genotype, space)),
        {"cells": 3, "channels": 2},
        genotypes=2,
    )


MISTAKES = {
    "edges backwards": (Backwards, "an edge that leads backwards"),
    "edges by their sources": (BySource, "not by ascending target, then source"),
    "weights for an edge less": (OneEdgeLess, "weights of another shape"),
    "operations in another order": (NotCanonical, "isn't canonical"),
    "the weakest operations": (Weakest, r"derive\(one_hot\(genotype\)\) is another genotype"),
    "one operation for all": (Fixed, "isn't its best operation"),
    "NaN is 0": (TakesNan, "takes a weight of nan"),
    "alphas for weights": (TakesAlphas, "takes a weight of -1"),
    "of another name": (OfAnotherName, "expected a genotype of darts, got one of: other"),
    "accepts everything": (AcceptsAll, "`check` accepts a genotype of another space"),
    "checks names alone": (ChecksNames, "`check` accepts a genotype without its last node"),
    "one-hot rows of other edges": (OtherRows, "one-hot"),
    "inherits nothing": (Forgetful, "one-hot supernet and derived network differ"),
    "networks without a check": (Unchecked, "`network` accepts a genotype of another space"),
    "one network for all": (AlwaysTheSame, "is also that of|`network` (differs by|lacks)"),
    "another wiring": (OtherWiring, "`network` (differs by|lacks)"),
    "the first input twice": (FirstInputTwice, "`network` (differs by|lacks)"),
    "a class more": (OneClassMore, r"expected logits \(4, 5\), got: \(4, 6\)"),
    "always in training mode": (AlwaysTraining, "logits depend on batch mates"),
    "blind to a cell type": (ReadsOneCellType, "may have no gradient"),
    "takes other weights": (TakesOtherWeights, "takes operation weights of another space"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_suite_refuses(name):
    space, message = MISTAKES[name]
    with pytest.raises(AssertionError, match=message):
        check(space())


@pytest.mark.parametrize("lost", ["order", "concat"])
def test_a_codec_that_loses_something(lost):
    def forgets(genotype):
        if lost == "order":
            return with_nodes(genotype, lambda node: node[::-1])
        cells = {name: CellGenotype(cell.nodes, cell.concat[1:]) for name, cell in genotype.cells.items()}
        return dataclasses.replace(genotype, cells=cells)

    with pytest.raises(AssertionError, match="round trip through its codec"):
        check(Plain(), forgets)


def test_the_suite_accepts_what_the_mistakes_start_from():
    check(Plain())
