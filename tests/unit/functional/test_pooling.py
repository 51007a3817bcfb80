"""Average pooling against torch's own, to the last bit."""

import itertools

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from dsrna.functional import pooling
from dsrna.functional.memory_format import channels_last, fastest_format
from dsrna.functional.pooling import average_pool, halved
from tests.layers import layers

PRECISIONS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def with_gradient(function, x):
    x = x.detach().requires_grad_()
    output = function(x)
    towards = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output.dtype)
    return output, *torch.autograd.grad(output, x, towards)


def assert_same_bits(ours, torchs, x):
    for found, expected in zip(with_gradient(ours, x), with_gradient(torchs, x), strict=True):
        assert torch.equal(found, expected)


def maps(precision):
    """Of many sizes, in both formats."""
    torch.manual_seed(0)
    for size in itertools.product((1, 2, 3, 6, 7), repeat=2):
        x = torch.randn(2, 3, *size).to(precision)
        yield from (x, x.contiguous(memory_format=torch.channels_last))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_halving_is_pooling_with_ceil_mode(precision):
    for x in maps(precision):
        assert_same_bits(halved, lambda x: F.avg_pool2d(x, 2, ceil_mode=True), x)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_pooling_as_on_gpus_is_torchs(precision, stride, monkeypatch):
    monkeypatch.setattr(pooling, "_is_distrusted", lambda x: True)
    options = (3, stride, 1, False, False)
    for x in maps(precision):
        assert_same_bits(lambda x: average_pool(x, *options), lambda x: F.avg_pool2d(x, *options), x)


def test_pooling_as_on_gpus_follows_torchs_transforms(monkeypatch):
    monkeypatch.setattr(pooling, "_is_distrusted", lambda x: True)

    def pool(x):
        return average_pool(x, 3, 2, 1, count_include_pad=False)

    stack = torch.randn(3, 2, 3, 7, 5, dtype=torch.float64)
    torch.testing.assert_close(torch.func.vmap(pool)(stack), torch.stack([pool(x) for x in stack]))
    _, slope = torch.func.jvp(pool, (stack[0],), (stack[1],))
    torch.testing.assert_close(slope, pool(stack[1]))
    x = channels_last(stack[0]).requires_grad_()
    assert torch.autograd.gradgradcheck(pool, (x[:1, :1],))
    assert pool(x).is_contiguous(memory_format=torch.channels_last)
    assert pool(x[:0]).shape == (0, 3, 4, 3)


class Watch(TorchDispatchMode):
    """Counts average poolings with padding; refuses those whose gradient some torch gets wrong."""

    seen = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket is torch.ops.aten.avg_pool2d:
            assert not any(args[4:5]), "ceil_mode, whose gradient may be wrong by torch.compile"
            if any(args[3:4] and args[3]):
                assert args[0].dim() == 3, "a padded pooling of channels-last maps, whose gradient may be wrong on CUDA"
                self.seen += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.slow
def test_no_layer_asks_for_a_pooling_that_is_differentiated_wrongly():
    """As torch's issues 188344 (CUDA) and 198119 (torch.compile) have it."""
    with FakeTensorMode(), torch.device("cuda"), Watch() as watch:
        for layer in layers(9).values():
            layer(torch.empty(2, 4, 9, 9))
    assert watch.seen == 7  # twice avg_pool_3x3, its form in a supernet, the mixed operation; the residual reduction


def test_maps_are_channels_last_but_on_apples_gpus():
    assert channels_last(torch.empty(2, 3, 4, 5)).is_contiguous(memory_format=torch.channels_last)
    assert fastest_format("cuda") is torch.channels_last
    assert fastest_format("mps") is torch.contiguous_format
