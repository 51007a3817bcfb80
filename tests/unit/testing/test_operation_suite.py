"""The conformance suite of operations refuses each of these mistakes, and says which."""

import pytest
import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from dsrna.nn.operations import OPERATIONS
from dsrna.testing.operation_conformance import check_operation


class Plain(nn.Module):
    """ReLU, convolution, BatchNorm."""

    def __init__(self, channels_in, channels_out, stride, affine):
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out, affine=affine)

    def forward(self, x):
        return self.norm(self.conv(x.relu()))


class RoundsDown(Plain):
    def forward(self, x):
        height, width = (max(side // self.stride, 1) for side in x.shape[2:])
        return super().forward(x)[:, :, :height, :width]


class IgnoresStride(Plain):
    def __init__(self, channels_in, channels_out, stride, affine):
        super().__init__(channels_in, channels_out, 1, affine)


class InPlace(Plain):
    def forward(self, x):
        return self.norm(self.conv(F.relu(x, inplace=not x.requires_grad)))


class AlwaysAffine(Plain):
    def __init__(self, channels_in, channels_out, stride, affine):
        super().__init__(channels_in, channels_out, stride, True)


class Scaled(Plain):
    """With a scale of its own."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.scale * super().forward(x)


class Unused(Plain):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.another = nn.Conv2d(2, 2, 1, bias=False)


class Drawn(Plain):
    def forward(self, x):
        return F.dropout(super().forward(x), 0.5)


class Counting(Plain):
    """Weakens from call to call."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) / self.calls


class AlwaysByTheBatch(Plain):
    def forward(self, x):
        return F.batch_norm(self.conv(x.relu()), None, None, self.norm.weight, self.norm.bias, training=True)


class LearnsInEvaluation(Plain):
    def forward(self, x):
        with torch.no_grad():
            self.norm.running_mean.mul_(0.9).add_(0.1 * self.conv(x.relu()).mean((0, 2, 3)))
        return super().forward(x)


class Hidden(Plain):
    """A random kernel that is in no state."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.kernel = [torch.randn(1).item()]

    def forward(self, x):
        return super().forward(x + self.kernel[0])


class SinglePrecision(Plain):
    def forward(self, x):
        return super().forward(x).float()


class Detached(Plain):
    def forward(self, x):
        return super().forward(x.detach()) + 0 * x[:, :1, :: self.stride, :: self.stride]


class ByBytes(Plain):
    """Reads the values in the order in which they lie in memory."""

    def forward(self, x):
        plain = torch.as_strided(x, x.shape, torch.empty(x.shape).stride())
        return super().forward(plain)


class DividesByDeviation(Plain):
    def forward(self, x):
        return super().forward((x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), keepdim=True))


class WrongGradient(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return x.relu()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        return gradient  # straight through

    @staticmethod
    def jvp(ctx, tangent):
        return tangent.clone()


class OnceDifferentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        return x.square()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient

    @staticmethod
    def jvp(ctx, tangent):
        return 2 * ctx.saved_tensors[0] * tangent


class WithoutForwardMode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient


def through(function):
    class Through(Plain):
        def forward(self, x):
            return self.norm(self.conv(function.apply(x)))

    return Through


class SameChannels(Plain):
    def __init__(self, channels_in, channels_out, stride, affine):
        super().__init__(channels_in, channels_in, stride, affine)


MISTAKES = {
    "rounds down": (RoundsDown, "stride 2, .*: expected"),
    "ignores the stride": (IgnoresStride, "stride 2, .*: expected"),
    "in place": (InPlace, "the input is changed in place"),
    "always affine": (AlwaysAffine, "BatchNorm with affine = True"),
    "a scale of its own": (Scaled, "scales or shifts, .*: scale"),
    "an unused weight": (Unused, "the gradient doesn't reach another.weight"),
    "drawn": (Drawn, "two calls differ"),
    "weaker from call to call": (Counting, "two calls differ"),
    "always by the batch": (AlwaysByTheBatch, "depends on its batch mates"),
    "learns in evaluation mode": (LearnsInEvaluation, "norm.running_mean changed"),
    "hidden weights": (Hidden, "not in its state"),
    "single precision": (SinglePrecision, "expected torch.float64, got torch.float32"),
    "detached": (Detached, "stride 1: first derivatives are wrong"),
    "by the order in memory": (ByBytes, "depends on the memory format"),
    "divides by the deviation": (DividesByDeviation, "values that aren't finite"),
    "straight through": (through(WrongGradient), "stride 1: first derivatives are wrong"),
    "differentiable once": (through(OnceDifferentiable), "stride 1: second derivatives are wrong"),
    "no forward mode": (through(WithoutForwardMode), "stride 1: first derivatives are wrong"),
    "as many channels as before": (SameChannels, "expected 6 channels out"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_suite_refuses(name):
    operation, message = MISTAKES[name]
    with pytest.raises(AssertionError, match=message):
        check_operation(operation)


@pytest.mark.parametrize("operation", [Plain, OPERATIONS["skip_connect"]])
def test_the_suite_accepts(operation):
    check_operation(operation)
