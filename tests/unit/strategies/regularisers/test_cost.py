"""The cost term against costs counted by hand."""

import pytest
import torch

from dsrna.costs.operation_costs import operation_costs
from dsrna.errors import ConfigError
from dsrna.strategies.pcdarts import PCDarts
from dsrna.strategies.regularisers.cost import ExpectedCost


def by_hand(kind, name, channels, side):
    """Of one operation at stride 1: parameters with BatchNorm's, or multiply-adds for one image."""
    size = {"nor_conv_1x1": 1, "nor_conv_3x3": 9}.get(name)
    if size is None:
        return 0
    convolution = size * channels**2
    return convolution + 2 * channels if kind == "parameters" else convolution * side**2


@pytest.mark.parametrize("partial_channels", [1, 2])
@pytest.mark.parametrize("kind", ["parameters", "flops"])
def test_costs_of_nasbench201(relaxed, kind, partial_channels):
    """Three cells, of 4, 8 and 16 channels at 8, 4 and 2 pixels; all channels count, whatever goes through them."""
    space, model = relaxed("nasbench201", strategy=PCDarts(partial_channels=partial_channels))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    (costs,) = operation_costs(kind, space, model.supernet).values()
    sizes = [(4, 8), (8, 4), (16, 2)]
    expected = [sum(by_hand(kind, name, *size) for size in sizes) for name in space.primitives]
    assert costs.tolist() == [expected] * 6
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.supernet.training


@pytest.mark.slow
def test_costs_of_a_reduction_cells_edges_depend_on_their_stride(relaxed):
    space, model = relaxed("darts")
    flops = operation_costs("flops", space, model.supernet)["reduce"]
    parameters = operation_costs("parameters", space, model.supernet)["reduce"]
    skip = space.primitives.index("skip_connect")
    halving = torch.tensor([source < 2 for source, _ in space.edges("reduce")])
    assert bool((parameters[halving][:, skip] > 0).all())
    assert bool((parameters[~halving][:, skip] == 0).all())
    assert bool(
        (flops[:, space.primitives.index("sep_conv_5x5")] > flops[:, space.primitives.index("sep_conv_3x3")]).all()
    )


@pytest.mark.parametrize("edge_weights", [False, True])
def test_penalty(relaxed, edge_weights):
    space, model = relaxed("darts", strategy=PCDarts(2) if edge_weights else None)
    term = ExpectedCost("parameters", target=0.5, weight=3.0)
    term.prepare(space, model.supernet, model.architecture)
    costs = operation_costs("parameters", space, model.supernet)
    with torch.no_grad():
        for parameter in model.architecture.parameters():
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter))
    total = uniform = 0.0
    with torch.no_grad():
        expected = model.architecture.expected()
    for name, cell in expected.items():
        targets = [target for _, target in space.edges(name)]
        for edge, target in enumerate(targets):
            share = 1.0 if cell.edges is None else float(cell.edges[edge])
            even = 1.0 if cell.edges is None else 1 / targets.count(target)
            for operation in range(len(space.primitives)):
                total += share * float(cell.operations[edge, operation]) * float(costs[name][edge, operation])
                uniform += even * float(costs[name][edge, operation]) / len(space.primitives)
    penalty = term.penalty(model.architecture)
    assert penalty.item() == pytest.approx(3.0 * (total / uniform / 0.5 - 1))
    assert term.numbers(model.architecture) == {"relative_parameters": pytest.approx(total / uniform)}
    assert penalty.requires_grad
    term.target = 100.0
    assert term.penalty(model.architecture).item() == 0.0


def test_a_measured_latency_is_kept(relaxed):
    space, model = relaxed("nasbench201")
    first, again = ExpectedCost("latency"), ExpectedCost("latency")
    for term in (first, again):
        term.prepare(space, model.supernet, model.architecture)
    assert first.relative(model.architecture) != again.relative(model.architecture)
    again.load_state(first.state())
    assert torch.equal(first.relative(model.architecture), again.relative(model.architecture))
    costs = first.state()["costs"]["cell"]
    assert bool(
        (costs[:, space.primitives.index("nor_conv_3x3")] > costs[:, space.primitives.index("skip_connect")]).all()
    )


@pytest.mark.parametrize("wrong", [{"kind": "size"}, {"target": 0.0}, {"weight": -1.0}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"`{next(iter(wrong))}`"):
        ExpectedCost(**wrong)
