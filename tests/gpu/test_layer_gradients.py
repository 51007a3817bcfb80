"""Every layer's gradients in its input, its weights and its operation weights, against the CPU's in float64.

The same test runs on the CPU too, where a stand-in for a wrong GPU kernel shows what it would find.
"""

import copy
from contextlib import nullcontext
from itertools import product

import pytest
import torch
from torch._prims_common import suggest_memory_format
from torch.nn import functional as F

from dsrna.functional import pooling
from dsrna.functional.precision import full_precision
from dsrna.nn.edges.implementation import use_implementation
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.darts import Darts
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from tests.layers import CHANNELS, layers
from tests.thorough import thorough

SIDE = 9
FORMATS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
FARTHEST = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.02}
"""Precision of activations -> largest distance from the right gradient, in units of its length."""
DEVICES = ["cpu", *([pytest.param("cuda", marks=pytest.mark.gpu)] if torch.cuda.is_available() else [])]
"""Without a GPU its rows aren't made, 220 that would only be skipped."""


TORCHS = F.avg_pool2d


def wrong_average_pool(x, size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
    """F.avg_pool2d with the gradient that torch 2.11 to 2.13 have on CUDA: pytorch issue 188344."""
    pooled = TORCHS(x, size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    if padding in (0, (0, 0)) or suggest_memory_format(x) is not torch.channels_last:
        return pooled
    assert (ceil_mode, count_include_pad, divisor_override) == (False, False, None)
    replay = replayed(x, size, stride or size, padding, offset=(0, 0))
    return pooled.detach() + replay - replay.detach()


def replayed(x, size, stride, padding, offset):
    """A padded average pooling whose window i holds the pixels h with first(h + offset) <= i <= last(h + offset)."""
    sides = []
    padding = (padding, padding) if isinstance(padding, int) else padding
    for pixels, border, shift in zip(x.shape[-2:], padding, offset, strict=True):
        place = torch.arange(pixels)[:, None] + shift
        window = torch.arange((pixels + 2 * border - size) // stride + 1)
        first = torch.where(place < size, 0, (place - size).div(stride, rounding_mode="floor") + 1)
        sides.append(((first <= window) & (window <= place.div(stride, rounding_mode="floor"))).to(x))
    counts = TORCHS(torch.ones_like(x[:1, :1]), size, stride, padding, divisor_override=1)
    return torch.einsum("nchw,hi,wj->ncij", x, *sides) / counts


def pixels(precision):
    """Numbers that every precision holds, no two of them equal: no maximum is tied, no ReLU sees another sign."""
    numbers = torch.linspace(-2, 2, 5000).bfloat16().unique()
    count = 2 * CHANNELS * SIDE**2
    chosen = numbers[torch.randperm(len(numbers), generator=torch.Generator().manual_seed(0))[:count]]
    return chosen.view(2, CHANNELS, SIDE, SIDE).to(precision)


def gradients(layer, x, precision=None):
    """Of a random functional of alpha * layer(x): in x, alpha and the weights, and of the first one's square again."""
    weights = list(layer.parameters())
    alpha = torch.tensor(0.7, device=x.device, dtype=torch.float64 if x.dtype == torch.float64 else None)
    x, alpha = x.requires_grad_(), alpha.requires_grad_()
    mixed = precision in (torch.bfloat16, torch.float16)
    with torch.autocast(x.device.type, precision) if mixed else nullcontext():
        output = alpha * layer(x)
    coefficients = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    loss = (output.double() * coefficients.to(x.device)).sum()
    found = torch.autograd.grad(loss, [x, alpha, *weights], create_graph=not mixed)
    if mixed:
        return found
    return [*found, *torch.autograd.grad(found[0].square().sum(), [x, alpha], materialize_grads=True)]


def distances(name, memory, precision, device, seed):
    """How far each gradient is from the right one, in units of its length."""
    torch.manual_seed(seed)
    layer = layers(SIDE)[name]
    expected = gradients(copy.deepcopy(layer).double(), pixels(torch.float64))
    x = pixels(precision).to(device).contiguous(memory_format=FORMATS[memory])
    with full_precision():
        found = gradients(layer.to(device), x, precision)
    pairs = zip(found, expected, strict=precision == torch.float32)
    return [((ours.double().cpu() - right).norm() / right.norm().clamp_min(1e-3)).item() for ours, right in pairs]


def check_layer(name, memory, precision, device):
    """In half precision the best of a few draws: near the kink of a ReLU inside, rounding chooses the side."""
    draws = [3] if precision == torch.float32 else [3, 4, 5]
    found = min((distances(name, memory, precision, device, seed) for seed in draws), key=max)
    assert max(found) <= FARTHEST[precision], f"gradients are off by {found} of their length"


def rows():
    """On a CPU half precision repeats what single precision notices of a layer."""
    for name, memory, precision in product(layers(SIDE), FORMATS, FARTHEST):
        row = (name, memory, precision, "cpu")
        yield row if precision == torch.float32 else thorough(*row)
        if torch.cuda.is_available():
            yield pytest.param(name, memory, precision, "cuda", marks=pytest.mark.gpu)


@pytest.mark.parametrize(("name", "memory", "precision", "device"), [*rows()])
def test_layers_have_the_right_gradients(name, memory, precision, device):
    check_layer(name, memory, precision, device)


POOLING = [name for name in layers(SIDE) if "avg_pool" in name or "mixed" in name or name == "residual reduction"]


@pytest.mark.parametrize("precision", FARTHEST, ids=lambda precision: str(precision).removeprefix("torch."))
@pytest.mark.parametrize("name", POOLING)
def test_a_kernel_that_forgets_the_padding_is_found_and_not_asked(name, precision, monkeypatch):
    monkeypatch.setattr(F, "avg_pool2d", wrong_average_pool)
    with pytest.raises(AssertionError, match="gradients are off"):
        check_layer(name, "channels-last", precision, "cpu")
    monkeypatch.setattr(pooling, "_is_distrusted", lambda x: True)
    check_layer(name, "channels-last", precision, "cpu")


@pytest.mark.parametrize("stride", [1, 2])
def test_the_stand_in_has_the_kernels_arithmetic(stride):
    """It differs from the right gradient by the padding alone."""
    x = torch.randn(2, 3, 9, 7, dtype=torch.float64)
    right = F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)
    torch.testing.assert_close(replayed(x, 3, stride, 1, offset=(1, 1)), right)
    assert not torch.allclose(replayed(x, 3, stride, 1, offset=(0, 0)), right)


SUPERNETS = {"darts": (DartsSpace(nodes=2), 3), "nasbench201": (Nasbench201Space(), 1)}


def supernet_gradients(space, implementation, device):
    """Of a loss in images, alphas and weights, in float64."""
    space, cells = SUPERNETS[space]
    torch.manual_seed(3)
    network = space.supernet((3, SIDE, SIDE), 4, cells=cells, channels=4)
    model = RelaxedSupernet(network, Darts().initial(space, torch.Generator().manual_seed(4))).double()
    with torch.no_grad():
        for alphas in model.architecture.parameters():
            alphas.normal_(generator=torch.Generator().manual_seed(5))
    use_implementation(model.to(device), implementation, device)
    x = torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    x = x.to(device).requires_grad_()
    loss = F.cross_entropy(model(x), torch.arange(4, device=device))
    wanted = [x, *model.architecture.parameters(), *model.supernet.parameters()]
    return [None if g is None else g.cpu() for g in torch.autograd.grad(loss, wanted, allow_unused=True)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("implementation", ["batched", "reference"])
@pytest.mark.parametrize("space", SUPERNETS)
def test_supernets_have_the_right_gradients_whatever_kernels_forget(space, implementation, device, monkeypatch):
    expected = supernet_gradients(space, "reference", "cpu")
    if device == "cpu":
        monkeypatch.setattr(F, "avg_pool2d", wrong_average_pool)
        with pytest.raises(AssertionError, match="not close"):
            torch.testing.assert_close(supernet_gradients(space, implementation, device), expected)
        monkeypatch.setattr(pooling, "_is_distrusted", lambda x: True)
    found = supernet_gradients(space, implementation, device)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
