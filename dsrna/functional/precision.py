"""The precision that float32 arithmetic is done in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

_BACKENDS: Any = torch.backends
_OPERATIONS: tuple[Any, ...] = (
    _BACKENDS.cudnn.conv,
    _BACKENDS.cudnn.rnn,
    _BACKENDS.cuda.matmul,
    _BACKENDS.mkldnn.conv,
    _BACKENDS.mkldnn.matmul,
    _BACKENDS.mkldnn.rnn,
)
"""What has an ``fp32_precision`` of its own: what torch's older switches and its wide ones end in."""

_AUTOCAST_DEVICES = ("cpu", "cuda", "mps", "xpu")


@contextmanager
def full_precision() -> Iterator[None]:
    """Inside, float32 numbers are multiplied in float32, whatever was switched on around it.

    By default torch lets GPUs convolve in TF32, which keeps 10 bits of each factor, and under autocast it computes in
    bfloat16 or half precision, on CPUs too: their rounding is too large for a bound to be a proof. Both of torch's
    ways to say so are set and restored, as each of them refuses to be asked while the other disagrees.
    """
    convolutions, products = _asked(lambda: torch.backends.cudnn.allow_tf32), _asked(torch.get_float32_matmul_precision)
    before = [operation.fp32_precision for operation in _OPERATIONS]
    with ExitStack() as stack:
        for device in _AUTOCAST_DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        torch.backends.cudnn.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")
        for operation in _OPERATIONS:
            operation.fp32_precision = "ieee"
        try:
            yield
        finally:
            if convolutions is not None:
                torch.backends.cudnn.allow_tf32 = convolutions
            if products is not None:
                torch.set_float32_matmul_precision(products)
            for operation, precision in zip(_OPERATIONS, before, strict=True):
                if operation.fp32_precision != precision:
                    operation.fp32_precision = precision


def _asked(question: Any) -> Any:
    """The answer, or None where torch has none as its newer switches disagree."""
    try:
        return question()
    except RuntimeError:
        return None
