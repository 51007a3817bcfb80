"""Cells against the equations of the DARTS paper, written out for two nodes."""

import pytest
import torch

from dsrna.nn.cell_shape import CellShape
from dsrna.nn.cell_topology import CellTopology
from dsrna.nn.derived_cell import DerivedCell
from dsrna.nn.operations import OPERATIONS
from dsrna.nn.supernet_cell import SupernetCell
from dsrna.types import CellWeights

PRIMITIVES = tuple(OPERATIONS)
TOPOLOGY = CellTopology(inputs=2, nodes=2, primitives=PRIMITIVES, kept=2)


@pytest.mark.parametrize("with_edge_weights", [False, True])
@pytest.mark.parametrize(("reduction", "follows_reduction"), [(False, False), (True, False), (False, True)])
def test_supernet_cell(reduction, follows_reduction, with_edge_weights):
    torch.manual_seed(0)
    shape = CellShape(3, 5, 4, reduction, follows_reduction)
    cell = SupernetCell(TOPOLOGY, shape).double().eval()
    earlier = torch.randn(2, 3, *((8, 8) if follows_reduction else (4, 4))).double()
    previous = torch.randn(2, 5, 4, 4).double()
    w = torch.rand(5, len(PRIMITIVES)).double()
    b = torch.rand(5).double() if with_edge_weights else torch.ones(5).double()
    x0, x1 = cell.inputs(earlier, previous)
    assert x0.shape == x1.shape == (2, 4, 4, 4)
    e = cell.edges
    x2 = b[0] * e[0](x0, w[0]) + b[1] * e[1](x1, w[1])
    x3 = b[2] * e[2](x0, w[2]) + b[3] * e[3](x1, w[3]) + b[4] * e[4](x2, w[4])
    out = cell(earlier, previous, weights=CellWeights(w, b if with_edge_weights else None))
    torch.testing.assert_close(out, torch.cat([x2, x3], dim=1))
    assert out.shape[-1] == (2 if reduction else 4)
    assert [edge.stride for edge in e] == ([2, 2, 2, 2, 1] if reduction else [1] * 5)


def test_derived_cell_adds_its_operations_and_concatenates_the_named_nodes():
    torch.manual_seed(1)
    nodes = ((("sep_conv_3x3", 1), ("max_pool_3x3", 0)), (("skip_connect", 2), ("dil_conv_5x5", 0)))
    cell = DerivedCell(TOPOLOGY, CellShape(3, 5, 4, True, False), nodes, concat=(3, 2)).double().eval()
    earlier, previous = torch.randn(2, 3, 4, 4).double(), torch.randn(2, 5, 4, 4).double()
    x0, x1 = cell.inputs(earlier, previous)
    o = cell.operations
    x2 = o[0](x1) + o[1](x0)
    x3 = x2 + o[3](x0)
    torch.testing.assert_close(cell(earlier, previous), torch.cat([x3, x2], dim=1))


def test_drop_path_spares_skip_connections_and_drops_every_other_path_on_its_own():
    torch.manual_seed(2)
    skip = DerivedCell(TOPOLOGY, CellShape(2, 2, 2, False, False), ((("skip_connect", 0), ("skip_connect", 1)),), (2,))
    pools = DerivedCell(TOPOLOGY, CellShape(2, 2, 2, False, False), ((("max_pool_3x3", 0), ("avg_pool_3x3", 1)),), (2,))
    x = torch.randn(400, 2, 4, 4)
    for cell in (skip, pools):
        cell.drop_path.set_probability(0.5)
        for module in cell.inputs.modules():
            module.training = False
    with torch.no_grad():
        x0, x1 = skip.inputs(x, x)
        torch.testing.assert_close(skip(x, x), x0 + x1)
        x0, x1 = pools.inputs(x, x)
        a, b = 2 * pools.operations[0](x0), 2 * pools.operations[1](x1)
        out = pools(x, x)
    outcomes = torch.stack([torch.zeros_like(out), a, b, a + b])
    matches = ((outcomes - out).abs().amax(dim=(2, 3, 4)) < 1e-5).sum(dim=1)
    assert matches.sum() == 400
    assert (matches > 60).all(), "each of the four outcomes should come for about a quarter of the images"
