"""Stems and the auxiliary head against their definitions in torch.nn.functional."""

import pytest
import torch
from torch.nn import functional as F

from dsrna.spaces.skeletons.auxiliary_head import AuxiliaryHead
from dsrna.spaces.skeletons.stems import CifarStem, ImagenetStem


def block(x, weight, stride, padding=1):
    return F.batch_norm(F.conv2d(x, weight, stride=stride, padding=padding), None, None, training=True)


def kernels(module):
    return [parameter for parameter in module.parameters() if parameter.dim() == 4]


@pytest.fixture
def x():
    torch.manual_seed(0)
    return torch.randn(4, 3, 19, 16, dtype=torch.float64)


def test_the_cifar_stem_gives_one_convolution_twice(x):
    stem = CifarStem(3, 6).double()
    for features in stem(x):
        torch.testing.assert_close(features, block(x, *kernels(stem), 1))


def test_the_imagenet_stem_has_a_relu_before_each_convolution_but_the_first(x):
    stem = ImagenetStem(3, 6).double()
    first, second, third = kernels(stem)
    quarter, eighth = stem(x)
    expected = block(block(x, first, 2).relu(), second, 2)
    torch.testing.assert_close(quarter, expected)
    torch.testing.assert_close(eighth, block(expected.relu(), third, 2))


@pytest.mark.parametrize(("side", "stride"), [(8, 3), (7, 2)])
def test_the_auxiliary_head_pools_as_published(side, stride):
    torch.manual_seed(0)
    head = AuxiliaryHead(5, (side, side), 3).double()
    x = torch.randn(4, 5, side, side, dtype=torch.float64)
    first, second = kernels(head)
    pooled = x.relu().unfold(2, 5, stride).unfold(3, 5, stride).mean(dim=(4, 5))
    features = block(block(pooled, first, 1, padding=0).relu(), second, 1, padding=0).relu()
    torch.testing.assert_close(head(x), head.classifier(features.flatten(1)))
