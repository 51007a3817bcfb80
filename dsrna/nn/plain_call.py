"""Whether tensors may go where torch's machinery can't follow: into code of our own with a gradient of our own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad


def why_not_plain(*tensors: Tensor) -> str | None:
    """Why only torch's own operations serve this call, or None where a custom function gives the same.

    Args:
        tensors: everything that the function would get.
    """
    if (reason := why_watched(*tensors)) is not None:
        return reason
    if forward_ad._current_level >= 0:
        return "forward-mode derivatives are taken"
    if torch.is_autocast_enabled("cpu"):
        return "autocast is on"
    if any(t.device.type != "cpu" for t in tensors):
        return "the network isn't on the CPU"
    return None


def why_watched(*tensors: Tensor) -> str | None:
    """Why torch's operations have to be called as the modules call them, or None where others may give the same.

    Args:
        tensors: everything that the operations would get.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return "the network is being traced"
    if torch._C._len_torch_dispatch_stack() or torch._C._len_torch_function_stack():
        return "operations are being watched by a dispatch mode"
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor
    if any(type(t) not in (Tensor, nn.Parameter) or wrapped(t) for t in tensors):
        return "the inputs are no plain tensors"
    return None
