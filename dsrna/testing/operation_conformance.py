"""What every operation on an edge promises, as one function to call from a test."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dsrna.errors import ConfigError
from dsrna.testing.untouched import left_as_it_was

OperationBuilder = Callable[[int, int, int, bool], nn.Module]
"""(channels in, channels out, stride, affine) -> module."""

CHANNELS = 4
MAPS = ((8, 10), (7, 5), (1, 2))


def check_operation(build: OperationBuilder, draws: bool = False) -> None:
    """Builds an operation with both strides, with and without scale and shift, and checks what the contract says of it.

    (N, C, H, W) becomes (N, C', ceil(H / stride), ceil(W / stride)) of the same type, on maps of odd sides and of
    constant ones too, whatever the memory format; other channels out than in are made or refused by a ConfigError; the
    input isn't changed; ``affine`` says whether there are scales and shifts; first, second and forward-mode derivatives
    are those of the values, in training and evaluation mode, and a gradient reaches every weight; in evaluation mode an
    image doesn't depend on its batch mates, and nothing is changed; nothing is drawn; all that it has learnt is in its
    state. Where an operation draws, in training mode alone, this holds of its values for the same draws.

    Args:
        build: makes the operation.
        draws: whether it draws random numbers.

    Raises:
        AssertionError: the operation breaks the contract; the message says how.
    """
    if draws:
        build = _check_draws(build)
    for stride in (1, 2):
        for affine in (False, True):
            try:
                _check_maps(build, stride, affine)
                _check_affine(_built(build, stride, affine), affine)
                _check_weights(_built(build, stride, affine))
                _check_evaluation(_built(build, stride, affine))
                _check_state(build, stride, affine)
            except AssertionError as error:
                raise AssertionError(f"stride {stride}, affine = {affine}: {error}") from error
        _check_derivatives(build, stride)
        _check_channels(build, stride)


def _check_draws(build: OperationBuilder) -> OperationBuilder:
    """Checks that it draws in training mode alone; returns what draws the same whenever it is called."""
    operation, x = _built(build, 1, True), _maps(8, 10)
    with torch.random.fork_rng(devices=[]):
        assert not torch.equal(operation(x), operation(x)), "nothing is drawn"
        draws = torch.random.get_rng_state()
        operation.eval()(x)
        assert torch.equal(torch.random.get_rng_state(), draws), "something is drawn in evaluation mode"
    return lambda *arguments: _SameDraws(build(*arguments))


class _SameDraws(nn.Module):
    def __init__(self, operation: nn.Module) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, x: Tensor) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            found: Tensor = self.operation(x)
        return found


def _check_maps(build: OperationBuilder, stride: int, affine: bool) -> None:
    for dtype in (torch.float32, torch.float64):
        operation = _built(build, stride, affine).to(dtype)
        for height, width in MAPS:
            for x in (_maps(height, width).to(dtype), torch.full((3, CHANNELS, height, width), 0.5, dtype=dtype)):
                before, draws = x.clone(), torch.random.get_rng_state()
                found = operation(x)
                expected = (3, CHANNELS, -(-height // stride), -(-width // stride))
                assert found.shape == expected, f"expected {expected} of a map {height} x {width}, got {found.shape}"
                assert found.dtype == dtype, f"expected {dtype}, got {found.dtype}"
                assert bool(found.isfinite().all()), "values that aren't finite"
                assert torch.equal(x, before), "the input is changed in place"
                assert torch.equal(found, operation(x)), "two calls differ"
                assert torch.equal(torch.random.get_rng_state(), draws), "torch's global random numbers were drawn"
            x = _maps(height, width).to(dtype)
            other = operation(x.contiguous(memory_format=torch.channels_last))
            assert torch.allclose(other, operation(x), rtol=1e-3, atol=1e-4), "depends on the memory format"


def _check_affine(operation: nn.Module, affine: bool) -> None:
    norms = [module for module in operation.modules() if isinstance(module, _BatchNorm)]
    assert all(norm.affine is affine for norm in norms), f"BatchNorm with affine = {not affine}"
    vectors = [name for name, parameter in operation.named_parameters() if parameter.ndim < 2]
    assert affine or not vectors, f"scales or shifts, with which weights undo operation weights: {', '.join(vectors)}"


def _check_weights(operation: nn.Module) -> None:
    x = _maps(8, 10).requires_grad_()
    found = operation(x)
    assert found.requires_grad, "the output has no graph to the input"
    factors = torch.randn(found.shape, generator=_generator(1), dtype=found.dtype)
    gradients = torch.autograd.grad((factors * found).sum(), [x, *operation.parameters()], allow_unused=True)
    assert gradients[0] is not None, "the gradient doesn't reach the input"
    for (name, _), gradient in zip(operation.named_parameters(), gradients[1:], strict=True):
        assert gradient is not None, f"the gradient doesn't reach {name}"
        assert bool(gradient.isfinite().all() and (gradient != 0).any()), f"the gradient of {name} is zero or infinite"


def _check_evaluation(operation: nn.Module) -> None:
    x = _maps(8, 10)
    operation(x)  # running statistics
    operation.eval()
    with left_as_it_was(operation):
        found = operation(x)
    mates = operation(torch.cat([x[:1], 5 * x[1:] + 1]))
    assert torch.allclose(mates[0], found[0]), "in evaluation mode an image depends on its batch mates"


def _check_state(build: OperationBuilder, stride: int, affine: bool) -> None:
    learnt = _built(build, stride, affine, seed=1)
    x = _maps(8, 10)
    learnt(x)
    other = _built(build, stride, affine, seed=2)
    other.load_state_dict(copy.deepcopy(learnt.state_dict()))
    assert torch.equal(other.eval()(x), learnt.eval()(x)), "something that it has learnt is not in its state"


def _check_derivatives(build: OperationBuilder, stride: int) -> None:
    """Of a few values, by torch's own finite differences."""
    for training in (True, False):
        operation = _built(build, stride, True, channels=2)
        x = torch.randn(2, 2, 4, 3, generator=_generator(3), dtype=torch.float64)
        operation(x)
        for module in operation.modules():
            if isinstance(module, _BatchNorm):
                module.momentum = 0.0  # so that the function stays the same from call to call
        operation.train(training)
        x.requires_grad_()
        mode = "training" if training else "evaluation"
        for order, check in (
            ("first derivatives", partial(torch.autograd.gradcheck, check_forward_ad=True)),
            ("second derivatives", torch.autograd.gradgradcheck),
        ):
            try:
                check(operation, (x,), fast_mode=True)
            except RuntimeError as error:
                reason = str(error).strip().splitlines()[0]
                raise AssertionError(f"stride {stride}: {order} are wrong in {mode} mode: {reason}") from error


def _check_channels(build: OperationBuilder, stride: int) -> None:
    try:
        operation = build(CHANNELS, CHANNELS + 2, stride, True)
    except ConfigError:
        return
    found = operation(_maps(8, 10).float()).shape[1]
    assert found == CHANNELS + 2, f"expected {CHANNELS + 2} channels out, or a ConfigError, got {found}"


def _built(build: OperationBuilder, stride: int, affine: bool, *, channels: int = CHANNELS, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(channels, channels, stride, affine).double()


def _maps(height: int, width: int) -> Tensor:
    return torch.randn(3, CHANNELS, height, width, generator=_generator(), dtype=torch.float64)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
