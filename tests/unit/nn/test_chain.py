"""Networks in two parts compute what they compute whole."""

import pytest
import torch
from torch import nn

from dsrna.errors import ConfigError
from dsrna.nn.chain import Divided, links
from dsrna.nn.residual_networks import residual_network
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.darts import Darts
from dsrna.training.external_model import ExternalDescription, build_external


def derived(space, cells):
    weights = Darts(1.0).initial(space, torch.Generator().manual_seed(0)).expected()
    return space.network(space.derive(weights), (3, 8, 8), 4, cells, 4, drop_path=0.3, mean=(0.5,) * 3, std=(0.2,) * 3)


NETWORKS = {
    "cnn7": lambda: build_external(
        ExternalDescription("dsrna:cnn7", {"width": 2, "hidden": 8}, [3, 8, 8], 4, [0.5] * 3, [0.2] * 3)
    ),
    "residual": lambda: residual_network("preact_resnet18", 3, 4, width=2),
    "two_inputs": lambda: derived(DartsSpace(nodes=2), 3),
    "one_input": lambda: derived(Nasbench201Space(), 1),
}
NONLINEAR = {"cnn7": 6, "residual": 9, "two_inputs": 3, "one_input": 5}
"""ReLUs of CNN7; eight blocks and the last ReLU; cells; three cells with two reductions between them."""


@pytest.mark.parametrize("name", NETWORKS)
def test_both_parts_make_the_network(name):
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    x = torch.rand(2, 3, 8, 8)
    assert sum(link.bends for link in links(network)) == NONLINEAR[name]
    for nonlinear in (1, NONLINEAR[name] - 1):
        divided = Divided(network, nonlinear)
        torch.testing.assert_close(divided(x), network(x), rtol=1e-6, atol=1e-6)
        tensors = {id(tensor) for tensor in network.parameters()}
        assert {id(tensor) for tensor in divided.parameters()} == tensors
        assert any(id(tensor) in tensors for tensor in divided.classifier.parameters())
    with pytest.raises(ConfigError, match=f"more than {NONLINEAR[name]} nonlinear layers"):
        Divided(network, NONLINEAR[name])


def test_the_classifier_begins_behind_a_nonlinear_layer():
    """As in the paper: with one nonlinear layer, CNN7's classifier is linear, ReLU, linear."""
    network = NETWORKS["cnn7"]()
    for nonlinear, first in ((1, [nn.Flatten, nn.Linear, nn.ReLU, nn.Linear]), (2, [nn.Conv2d, nn.BatchNorm2d])):
        divided = Divided(network, nonlinear)
        assert [type(part) for part in divided.classifier.parts][: len(first)] == first
        assert type(divided.features.parts[-1]) is nn.ReLU
    cells = Divided(NETWORKS["two_inputs"](), 1)
    assert len(cells.features(torch.rand(2, 3, 8, 8))) == 2, "the last cell takes two outputs"


def test_a_network_of_unknown_make_is_one_nonlinear_layer():
    class Own(nn.Module):
        def forward(self, x):
            return x.flatten(1)

    class OwnSequential(nn.Sequential):
        def forward(self, x):
            return super().forward(super().forward(x))

    for network in (Own(), OwnSequential(nn.ReLU(), nn.ReLU())):
        assert [link.part for link in links(network)] == [network]
        with pytest.raises(ConfigError, match="got Sequential with 1"):
            Divided(nn.Sequential(nn.Identity(), network), 1)
