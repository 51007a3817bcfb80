"""A derived network with the weights that its supernet has."""

from __future__ import annotations

from typing import cast

from torch import nn

from dsrna.errors import UnsupportedError
from dsrna.nn.mixed_operation import MixedOperation
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.nasbench201.architecture_string import architecture_string, operations_of
from dsrna.spaces.nasbench201.derived_cell import DerivedCell
from dsrna.spaces.nasbench201.network import Nasbench201Network
from dsrna.spaces.nasbench201.supernet import Nasbench201Supernet
from dsrna.spaces.nasbench201.supernet_cell import SupernetCell
from dsrna.spaces.nasbench201.topology import PRIMITIVES


def inherit(supernet: Nasbench201Supernet, genotype: Genotype) -> Nasbench201Network:
    """The derived network of a checked genotype with copies of a supernet's weights and BatchNorm statistics.

    Its operations have their supernet form, and its output equals the supernet's under the genotype's one-hot
    operation weights, in training and in evaluation mode.

    Raises:
        UnsupportedError: the supernet has partial channels, of which no derived network is made.
    """
    if supernet.partial_channels != 1:
        raise UnsupportedError(
            f"A derived network can inherit weights from a supernet with `partial_channels` = 1, got "
            f"{supernet.partial_channels}: its operations were trained on a part of the channels. "
            "Train the derived network from scratch, or search with partial_channels=1."
        )
    network = Nasbench201Network(genotype, supernet.skeleton, as_in_supernet=True)
    network.to(next(supernet.parameters())).train(supernet.training)
    operations = operations_of(architecture_string(genotype))
    _copy(supernet.normalize, network.normalize)
    _copy(supernet.stem, network.stem)
    _copy(supernet.head, network.head)
    for origin, block in zip(supernet.blocks, network.blocks, strict=True):
        if isinstance(origin, SupernetCell) and isinstance(block, DerivedCell):
            _inherit_cell(origin, block, operations)
        else:
            _copy(origin, block)
    return network


def _inherit_cell(origin: SupernetCell, cell: DerivedCell, operations: tuple[str, ...]) -> None:
    for edge, name, operation in zip(origin.edges, operations, cell.operations, strict=True):
        _copy(cast(MixedOperation, edge).operations[PRIMITIVES.index(name)], operation)


def _copy(source: nn.Module, target: nn.Module) -> None:
    target.load_state_dict(source.state_dict())
