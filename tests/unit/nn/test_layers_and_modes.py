"""Normalisation, drop-path and the modes in which a network is looked at without being changed."""

import copy

import pytest
import torch
from torch import nn

from dsrna.errors import ConfigError
from dsrna.nn.drop_path import DropPath
from dsrna.nn.freed_memory import keep_freed_memory
from dsrna.nn.modes import batchnorm_statistics_frozen, evaluation_mode, without_gradients
from dsrna.nn.normalize import Normalize


def small_net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.BatchNorm2d(3, momentum=None), nn.Flatten()
    )


def bits(model):
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


def test_normalize_uses_each_channels_numbers():
    x = torch.rand(2, 3, 4, 4)
    out = Normalize([0.1, 0.2, 0.3], [0.5, 0.25, 2.0])(x)
    for channel, (mean, std) in enumerate([(0.1, 0.5), (0.2, 0.25), (0.3, 2.0)]):
        torch.testing.assert_close(out[:, channel], (x[:, channel] - mean) / std)


def test_normalize_saves_its_numbers_and_trains_none():
    layer = Normalize([0.1], [0.5])
    assert set(layer.state_dict()) == {"mean", "std"}
    assert list(layer.parameters()) == []


@pytest.mark.parametrize(("mean", "std"), [([0.5], [0.5, 0.5]), ([0.5], [0.0]), ([], []), ([0.5], [float("nan")])])
def test_normalize_refuses(mean, std):
    with pytest.raises(ConfigError, match="std"):
        Normalize(mean, std)


def test_drop_path_drops_whole_images_and_keeps_the_expectation():
    torch.manual_seed(0)
    layer = DropPath(0.3)
    x = torch.rand(20_000, 2, 1, 2) + 1
    ratio = (layer(x) / x).flatten(1)
    kept = ratio[:, 0] > 0
    torch.testing.assert_close(ratio, kept[:, None] / torch.full_like(ratio, 0.7))
    # standard error of the mean: sqrt(0.3 / 0.7 / 20000) = 0.0046
    assert abs(ratio.mean().item() - 1) < 0.02


def test_drop_path_is_the_identity_in_evaluation_and_at_zero():
    x = torch.rand(8, 2, 2, 2)
    assert DropPath(0.9).eval()(x) is x
    assert DropPath(0.0)(x) is x


@pytest.mark.parametrize("probability", [-0.1, 1.0, float("nan")])
def test_drop_path_refuses(probability):
    with pytest.raises(ConfigError, match="drop_path"):
        DropPath(probability)


def test_frozen_statistics_stay_bitwise_while_batch_statistics_normalise():
    model = small_net()
    model(torch.randn(8, 2, 6, 6))
    twin = copy.deepcopy(model)
    before = bits(model)
    x = 3 * torch.randn(8, 2, 6, 6) + 1
    with batchnorm_statistics_frozen(model):
        inside = model(x)
        # infinite activations would poison statistics that are merely averaged with weight zero
        model(torch.full((8, 2, 6, 6), float("inf")))
    assert all(torch.equal(before[name], after) for name, after in bits(model).items())
    assert torch.equal(inside, twin(x))
    assert not torch.equal(before["1.running_mean"], bits(twin)["1.running_mean"])


def test_frozen_statistics_are_those_that_evaluation_mode_uses():
    model = small_net()
    model(torch.randn(8, 2, 6, 6))
    x = torch.randn(8, 2, 6, 6)
    model.eval()
    outside = model(x)
    with batchnorm_statistics_frozen(model):
        assert torch.equal(model(x), outside)


def fail():
    raise RuntimeError("stop")


def test_freezing_ends_with_the_outermost_block():
    model = small_net()
    with batchnorm_statistics_frozen(model):
        with batchnorm_statistics_frozen(model):
            pass
        model(torch.randn(8, 2, 6, 6))
    assert model[1].num_batches_tracked == 0
    model(torch.randn(8, 2, 6, 6))
    assert model[1].num_batches_tracked == 1


def test_freezing_ends_after_an_error():
    model = small_net()
    with pytest.raises(RuntimeError, match="stop"), batchnorm_statistics_frozen(model):
        fail()
    model(torch.randn(8, 2, 6, 6))
    assert model[1].num_batches_tracked == 1


def test_evaluation_mode_gives_every_submodule_its_own_flag_back():
    model = nn.Sequential(small_net(), nn.Sequential(nn.Dropout(), nn.ReLU()))
    model[0][1].eval()
    model[1].training = False
    flags = [module.training for module in model.modules()]
    assert len(set(flags)) == 2
    with evaluation_mode(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == flags
    with pytest.raises(RuntimeError, match="stop"), evaluation_mode(model):
        fail()
    assert [module.training for module in model.modules()] == flags


def test_without_gradients_gives_every_parameter_its_own_flag_back():
    model = small_net()
    model[0].bias.requires_grad_(False)
    x = torch.randn(4, 2, 6, 6, requires_grad=True)
    flags = [parameter.requires_grad for parameter in model.parameters()]
    assert len(set(flags)) == 2
    with without_gradients(iter(model.parameters())):
        assert not any(parameter.requires_grad for parameter in model.parameters())
        output = model(x).sum()
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    output.backward()
    assert x.grad is not None
    assert all(parameter.grad is None for parameter in model.parameters())
    with pytest.raises(RuntimeError, match="stop"), without_gradients(model.parameters()):
        fail()
    assert [parameter.requires_grad for parameter in model.parameters()] == flags


def test_freed_memory_is_left_alone_where_the_process_is_no_library_as_on_windows(monkeypatch):
    def windows(name):
        raise TypeError("argument of type 'NoneType' is not iterable")

    monkeypatch.setattr("ctypes.CDLL", windows)
    keep_freed_memory.__wrapped__()
