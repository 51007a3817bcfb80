"""A derived network with the weights that its supernet has."""

from __future__ import annotations

from typing import cast

from torch import nn

from dsrna.errors import UnsupportedError
from dsrna.nn.derived_cell import DerivedCell
from dsrna.nn.edges.mixed_operation import MixedOperation
from dsrna.nn.supernet_cell import SupernetCell
from dsrna.spaces.derived_network import DerivedNetwork
from dsrna.spaces.genotype import Genotype, Node
from dsrna.spaces.supernet import Supernet


def inherit(supernet: Supernet, genotype: Genotype) -> DerivedNetwork:
    """The derived network of a genotype with copies of a supernet's weights and BatchNorm statistics.

    Its layers have their supernet form (no BatchNorm scale and shift, BatchNorm after pooling), and its output equals
    the supernet's under the genotype's one-hot operation weights, in training and in evaluation mode.

    Args:
        supernet: a supernet without partial channels.
        genotype: a checked genotype of its space whose cells give out the same nodes.

    Raises:
        UnsupportedError: the supernet has partial channels, of which no derived network is made.
    """
    if supernet.partial_channels != 1:
        raise UnsupportedError(
            f"A derived network can inherit weights from a supernet with `partial_channels` = 1, got "
            f"{supernet.partial_channels}: its operations were trained on a part of the channels. "
            "Train the derived network from scratch, or search with partial_channels=1."
        )
    network = DerivedNetwork(genotype, supernet.topologies, supernet.skeleton, as_in_supernet=True)
    network.to(next(supernet.parameters())).train(supernet.training)
    for source, part in (
        (supernet.normalize, network.normalize),
        (supernet.stem, network.stem),
        (supernet.last_layers, network.last_layers),
    ):
        _copy(source, part)
    for cell_type, origin, block in zip(supernet.skeleton.cell_types, supernet.body, network.body, strict=True):
        if cell_type is None:
            _copy(origin, block)
        else:
            _inherit_cell(cast(SupernetCell, origin), cast(DerivedCell, block), genotype.cells[cell_type].nodes)
    return network


def _inherit_cell(origin: SupernetCell, cell: DerivedCell, nodes: tuple[Node, ...]) -> None:
    if origin.inputs is not None and cell.inputs is not None:
        _copy(origin.inputs, cell.inputs)
    topology, operations = origin.topology, iter(cell.operations)
    for target, node in enumerate(nodes, start=topology.inputs):
        for name, source in node:
            edge = cast(MixedOperation, origin.edges[topology.ends.index((source, target))])
            _copy(edge.operations[topology.primitives.index(name)], next(operations))


def _copy(source: nn.Module, target: nn.Module) -> None:
    target.load_state_dict(source.state_dict())
