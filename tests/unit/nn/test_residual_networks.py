"""The networks without cells: of the published sizes, and what their papers draw."""

import pytest
import torch
from torch.nn import functional as F

from dsrna.errors import ConfigError
from dsrna.nn.residual_networks import PreActNetwork, residual_network


@pytest.mark.parametrize(
    ("name", "millions"),
    [  # Zagoruyko and Komodakis 2016, tables 2, 4 and 5; PreAct-ResNet-18 as the robustness literature counts it
        ("wrn_40_1", 0.6), ("wrn_40_2", 2.2), ("wrn_40_4", 8.9), ("wrn_16_8", 11.0), ("wrn_22_8", 17.2),
        ("wrn_28_10", 36.5), ("wrn_28_12", 52.5), ("wrn_34_10", 46.2), ("wrn_16_4", 2.7), ("preact_resnet18", 11.2),
    ],
)  # fmt: skip
def test_parameters_are_those_that_papers_print(name, millions):
    with torch.device("meta"):
        network = residual_network(name, 3, 10)
    assert round(sum(weight.numel() for weight in network.parameters()) / 1e6, 1) == millions


def test_parameters_of_robustbenchs_wide_network_to_the_last():
    with torch.device("meta"):
        network = residual_network("wrn_28_10", 3, 10)
    assert sum(weight.numel() for weight in network.parameters()) == 36_479_194


def textbook(weights, x, blocks, stages):
    """The network from its weights alone, block by block as in He et al. 2016, figure 4e."""

    def norm(x, name):
        view = [weights[f"{name}.{key}"].view(1, -1, 1, 1) for key in ("running_mean", "running_var", "weight", "bias")]
        mean, variance, scale, shift = view
        return (x - mean) / (variance + 1e-5).sqrt() * scale + shift

    x = F.conv2d(x, weights["stem.weight"], padding=1)
    for number in range(blocks * stages):
        name, stride = f"blocks.{number}", 2 if number % blocks == 0 and number > 0 else 1
        active = norm(x, f"{name}.norm1").clamp(min=0)
        moved = F.conv2d(active, weights[f"{name}.conv1.weight"], stride=stride, padding=1)
        moved = F.conv2d(norm(moved, f"{name}.norm2").clamp(min=0), weights[f"{name}.conv2.weight"], padding=1)
        if f"{name}.shortcut.weight" in weights:
            x = F.conv2d(active, weights[f"{name}.shortcut.weight"], stride=stride)
        x = x + moved
    features = norm(x, "norm").clamp(min=0).mean(dim=(2, 3))
    return features @ weights["classifier.weight"].T + weights["classifier.bias"]


@pytest.mark.parametrize(
    ("stem", "widths", "blocks"), [(4, [4, 8, 16, 32], 2), (3, [3, 6, 12], 1), (2, [6, 12, 24], 2)]
)
def test_logits_are_the_textbooks(stem, widths, blocks):
    torch.manual_seed(0)
    network = PreActNetwork(2, 5, stem, widths, blocks).double()
    network(torch.rand(16, 2, 9, 9, dtype=torch.float64))  # statistics of their own
    for weight in network.parameters():
        weight.data += 0.05 * torch.randn_like(weight)
    x = torch.rand(3, 2, 9, 9, dtype=torch.float64)
    logits = network.eval()(x)
    torch.testing.assert_close(logits, textbook(network.state_dict(), x, blocks, len(widths)))
    assert sum(name.endswith("shortcut.weight") for name in network.state_dict()) == len(widths) - (stem == widths[0])


def test_weights_start_as_he_et_al_say():
    torch.manual_seed(0)
    weight = residual_network("wrn_10_4", 3, 10).blocks[2].conv2.weight
    assert weight.std().item() == pytest.approx((2 / (9 * weight.shape[0])) ** 0.5, rel=0.02)


@pytest.mark.parametrize("name", ["wrn_28", "wrn_27_10", "wrn_4_1", "wrn_28_0", "wrn_100000_9", "resnet18", ""])
def test_a_name_that_there_is_not_is_refused(name):
    with pytest.raises(ConfigError, match="such as wrn_28_10"):
        residual_network(name, 3, 10)


def test_a_small_preact_resnet():
    network = residual_network("preact_resnet18", 1, 10, width=8)
    assert network.classifier.in_features == 64
    with pytest.raises(ConfigError, match="width"):
        residual_network("wrn_16_4", 1, 10, width=8)
