"""CNN7's size and layers."""

import pytest
import torch
from torch import nn

from dsrna.bounds.ibp import IBP
from dsrna.errors import ConfigError
from dsrna.nn.cnn7 import cnn7


def test_its_parameters_are_those_of_its_layers():
    with torch.device("meta"):
        network = cnn7((3, 32, 32), 10)
    convolutions = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 128)]
    expected = sum(9 * a * b + b + 2 * b for a, b in convolutions)  # weights, biases, BatchNorm
    expected += 128 * 16 * 16 * 512 + 512 + 512 * 10 + 10
    assert sum(weight.numel() for weight in network.parameters()) == expected


@pytest.mark.parametrize("shape", [(1, 28, 28), (2, 7, 9)])
def test_images_of_any_size_pass_and_can_be_bounded(shape):
    torch.manual_seed(0)
    network = cnn7(shape, 4, width=3, hidden=5).eval()
    x = torch.rand(2, *shape)
    logits = network(x)
    assert logits.shape == (2, 4)
    lower, upper = IBP()(network, x, 0.001)
    assert (lower <= logits).all()
    assert (logits <= upper).all()
    strides = [layer.stride[0] for layer in network if isinstance(layer, nn.Conv2d)]
    assert strides == [1, 1, 2, 1, 1]


def test_sizes_below_one_are_refused():
    with pytest.raises(ConfigError, match="width"):
        cnn7((3, 8, 8), 10, width=0)
