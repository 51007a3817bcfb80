"""A derived network with the weights that its supernet has."""

from __future__ import annotations

from typing import cast

from torch import nn

from dsrna.errors import UnsupportedError
from dsrna.nn.derived_cell import DerivedCell
from dsrna.nn.mixed_operation import MixedOperation
from dsrna.nn.supernet_cell import SupernetCell
from dsrna.spaces.darts.network import DartsNetwork
from dsrna.spaces.darts.supernet import DartsSupernet
from dsrna.spaces.genotype import Genotype, Node


def inherit(supernet: DartsSupernet, genotype: Genotype) -> DartsNetwork:
    """The derived network of a genotype with copies of a supernet's weights and BatchNorm statistics.

    Its layers have their supernet form (no BatchNorm scale and shift, BatchNorm after pooling), and its output equals
    the supernet's under the genotype's one-hot operation weights, in training and in evaluation mode.

    Args:
        supernet: a supernet without partial channels.
        genotype: a checked genotype that concatenates all intermediate nodes.

    Raises:
        UnsupportedError: the supernet has partial channels, of which no derived network is made.
    """
    if supernet.partial_channels != 1:
        raise UnsupportedError(
            f"A derived network can inherit weights from a supernet with `partial_channels` = 1, got "
            f"{supernet.partial_channels}: its operations were trained on a part of the channels. "
            "Train the derived network from scratch, or search with partial_channels=1."
        )
    network = DartsNetwork(genotype, supernet.skeleton, as_in_supernet=True)
    network.to(supernet.classifier.weight).train(supernet.training)
    for part, source in (
        (network.normalize, supernet.normalize),
        (network.stem, supernet.stem),
        (network.classifier, supernet.classifier),
    ):
        _copy(source, part)
    for cell_type, cell, origin in zip(supernet.skeleton.cell_types, network.cells, supernet.cells, strict=True):
        _inherit_cell(
            cast(DerivedCell, cell), cast(SupernetCell, origin), genotype.cells[cell_type].nodes, supernet.primitives
        )
    return network


def _inherit_cell(
    cell: DerivedCell, origin: SupernetCell, nodes: tuple[Node, ...], primitives: tuple[str, ...]
) -> None:
    _copy(origin.inputs, cell.inputs)
    operations = iter(cell.operations)
    for target, node in enumerate(nodes, start=2):
        for name, source in node:
            edge = cast(MixedOperation, origin.edges[origin.edges.ends.index((source, target))])
            _copy(edge.operations[primitives.index(name)], next(operations))


def _copy(source: nn.Module, target: nn.Module) -> None:
    target.load_state_dict(source.state_dict())
