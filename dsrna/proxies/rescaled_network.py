"""Networks without BatchNorm in single precision, though their features grow beyond its range."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dsrna.nn.residual_reduction import ResidualReduction

_SMALLEST_EPS = 1e-30


class RescaledNetwork:
    """A network whose features are brought back to a size of about 1 after every block.

    Layers without BatchNorm and biases are positively homogeneous: features that are 2^-k times what they should be
    give logits that are 2^-k times what they should be, and the same gradients to weights and images up to a positive
    factor. Powers of two change no digit. So single precision is enough for networks that amplify by 1e100.

    BatchNorm may stay in residual reductions, where it gets the eps that belongs to the size of its input.

    Args:
        model: the network; it gets hooks, and its classifier loses its bias to this class.
        blocks: its blocks, in the order of the forward pass; each takes the outputs of as many blocks before it as it
            has arguments.
        classifier: the last layer.
    """

    def __init__(self, model: nn.Module, blocks: Sequence[nn.Module], classifier: nn.Linear) -> None:
        self._model = model
        self._bias = classifier.bias.detach() if classifier.bias is not None else None
        classifier.register_parameter("bias", None)
        self._exponents: list[int] = []
        for block in blocks:
            if isinstance(block, ResidualReduction):
                block.convolutions = nn.Sequential(_AtTrueSize(block.convolutions, self._exponents))
            block.register_forward_pre_hook(self._align)
            block.register_forward_hook(self._shrink)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K) of a size about 1, with a graph, and the true ones, in double precision and without."""
        self._exponents[:] = [0, 0]  # the stem's outputs
        logits: Tensor = self._model(x)
        true = logits.detach().double() * _power_of_two(self._exponents[-1])
        return logits, true if self._bias is None else true + self._bias

    def _align(self, block: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """All inputs by the last one's power of two."""
        exponents = self._exponents[-len(inputs) :]
        return tuple(
            x if exponent == exponents[-1] else x * _power_of_two(exponent - exponents[-1])
            for x, exponent in zip(inputs, exponents, strict=True)
        )

    def _shrink(self, block: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        _, exponent = math.frexp(float(output.detach().abs().max()))  # 0 for 0, infinity and NaN
        self._exponents.append(self._exponents[-1] + exponent)
        return output * _power_of_two(-exponent)


class _AtTrueSize(nn.Module):
    """The branch with BatchNorm of a residual reduction, of which the first BatchNorm's output has its true size.

    Gradients inside are as if the branch's output weren't made smaller, lest they vanish: 2^k times what they are.
    """

    def __init__(self, branch: nn.Sequential, exponents: list[int]) -> None:
        super().__init__()
        self.branch = branch
        self.first = next(module for module in branch.modules() if isinstance(module, _BatchNorm))
        self.eps = self.first.eps
        self.exponents = exponents

    def forward(self, x: Tensor) -> Tensor:
        """The branch's output times 2^-k, for x times 2^-k."""
        factor = _power_of_two(-self.exponents[-1])
        self.first.eps = max(self.eps * factor * factor, _SMALLEST_EPS)
        output: Tensor = _Times.apply(self.branch(_Times.apply(x, 1.0, factor)), factor, 1.0)
        return output


class _Times(torch.autograd.Function):
    """Multiplies the tensor by one factor, and its gradient by another."""

    @staticmethod
    def forward(context: Any, x: Tensor, factor: float, gradient_factor: float) -> Tensor:
        context.gradient_factor = gradient_factor
        return x * factor

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0] * context.gradient_factor, None, None


def _power_of_two(exponent: int) -> float:
    """2^exponent; infinity beyond the range of double precision, for which Python has an error."""
    return 2.0**exponent if exponent < sys.float_info.max_exp else math.inf
