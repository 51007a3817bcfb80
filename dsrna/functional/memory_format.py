"""The order in which maps lie in memory."""

from __future__ import annotations

import torch
from torch import Tensor


def channels_last(x: Tensor) -> Tensor:
    """x (N, C, H, W) in the order that convolutions are fastest on, see :func:`fastest_format`.

    What isn't a plain tensor stays as it is: bounds bring their own operations; a tensor under vmap has no memory
    format.
    """
    if not torch.compiler.is_compiling() and (
        type(x) is not Tensor or torch._C._functorch.is_functorch_wrapped_tensor(x)
    ):
        return x
    return x.contiguous(memory_format=fastest_format(x.device.type))


def laid_out_as(gradient: Tensor, parameter: Tensor) -> Tensor:
    """``gradient`` in the order in memory that ``parameter`` has, which a fused optimiser takes for granted.

    ``backward()`` sees to it, ``torch.autograd.grad`` doesn't: a convolution's weight gradient comes channels-last
    where its images are. torch's fused optimisers then pair the wrong entries on the CPU without a word (2.11 to
    2.15), and raise on CUDA.
    """
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def fastest_format(kind: str) -> torch.memory_format:
    """The memory format in which networks run on a kind of device, ``"cpu"``, ``"cuda"``, …

    Channels-last; but on Apple's GPUs, where torch has wrong gradients of average pooling for it, contiguous.

    Source: https://github.com/pytorch/pytorch/issues/175190.
    """
    return torch.contiguous_format if kind == "mps" else torch.channels_last
