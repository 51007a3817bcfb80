"""Cells of other papers: they have a space, and networks of the size that is printed."""

import math

import pytest
import torch

from dsrna.spaces.notation.reading import parse
from dsrna.spaces.registry import space_of

AMOEBANET = """Genotype(
    normal=[('avg_pool_3x3', 0), ('max_pool_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 2), ('sep_conv_3x3', 0),
            ('avg_pool_3x3', 3), ('sep_conv_3x3', 1), ('skip_connect', 1), ('skip_connect', 0), ('avg_pool_3x3', 1)],
    normal_concat=[4, 5, 6],
    reduce=[('avg_pool_3x3', 0), ('sep_conv_3x3', 1), ('max_pool_3x3', 0), ('sep_conv_7x7', 2), ('sep_conv_7x7', 0),
            ('avg_pool_3x3', 1), ('max_pool_3x3', 0), ('max_pool_3x3', 1), ('conv_7x1_1x7', 0), ('sep_conv_3x3', 5)],
    reduce_concat=[3, 4, 6])"""
NASNET = """Genotype(
    normal=[('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 0), ('sep_conv_3x3', 0), ('avg_pool_3x3', 1),
            ('skip_connect', 0), ('avg_pool_3x3', 0), ('avg_pool_3x3', 0), ('sep_conv_3x3', 1), ('skip_connect', 1)],
    normal_concat=[2, 3, 4, 5, 6],
    reduce=[('sep_conv_5x5', 1), ('sep_conv_7x7', 0), ('max_pool_3x3', 1), ('sep_conv_7x7', 0), ('avg_pool_3x3', 1),
            ('sep_conv_5x5', 0), ('skip_connect', 3), ('avg_pool_3x3', 2), ('sep_conv_3x3', 2), ('max_pool_3x3', 1)],
    reduce_concat=[4, 5, 6])"""
FAIR_A = """Genotype(
    normal=[('sep_conv_3x3', 2, 0), ('sep_conv_5x5', 2, 1), ('max_pool_3x3', 4, 0), ('sep_conv_3x3', 5, 0)],
    normal_concat=range(2, 6),
    reduce=[('max_pool_3x3', 2, 0), ('avg_pool_3x3', 2, 1), ('avg_pool_3x3', 3, 0), ('dil_conv_5x5', 3, 1),
            ('avg_pool_3x3', 4, 0), ('sep_conv_5x5', 4, 1), ('skip_connect', 5, 0), ('skip_connect', 5, 1)],
    reduce_concat=range(2, 6))"""
FAIR_B = """Genotype(
    normal=[('sep_conv_3x3', 2, 0), ('sep_conv_3x3', 2, 1), ('sep_conv_3x3', 3, 1), ('dil_conv_3x3', 4, 0),
            ('sep_conv_5x5', 4, 1), ('dil_conv_5x5', 5, 1)],
    normal_concat=range(2, 6),
    reduce=[('skip_connect', 2, 0), ('dil_conv_3x3', 2, 1), ('skip_connect', 3, 0), ('dil_conv_3x3', 3, 1),
            ('max_pool_3x3', 4, 0), ('sep_conv_3x3', 4, 1), ('skip_connect', 5, 2), ('max_pool_3x3', 5, 0)],
    reduce_concat=range(2, 6))"""


def millions(text, **sizes):
    genotype = parse(text)
    with torch.device("meta"):
        network = space_of(genotype).network(genotype, (3, 32, 32), 10, **sizes)
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


@pytest.mark.parametrize(
    ("text", "auxiliary", "printed"),
    [
        (AMOEBANET, False, 3.1),  # DARTS (ICLR 2019), table 1
        (FAIR_A, True, 2.83),  # FairDARTS (ECCV 2020), released genotypes; with the auxiliary head, digits cut off
        (FAIR_B, True, 3.88),
    ],
)
def test_sizes_of_networks_for_cifar10(text, auxiliary, printed):
    digits = len(f"{printed}") - 2
    found = millions(text, auxiliary=auxiliary)
    assert math.floor(found * 10**digits) / 10**digits == printed


@pytest.mark.parametrize("text", [AMOEBANET, NASNET, FAIR_A, FAIR_B])
def test_every_weight_of_a_small_network_has_a_gradient_but_those_that_lead_nowhere(text):
    torch.manual_seed(0)
    genotype = parse(text)
    network = space_of(genotype).network(genotype, (3, 16, 16), 4, cells=3, channels=4, auxiliary=True)
    logits, auxiliary = network.forward_with_auxiliary(torch.rand(4, 3, 16, 16))
    (logits.square().sum() + auxiliary.square().sum()).backward()
    assert logits.shape == (4, 4)
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []
