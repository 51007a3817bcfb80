"""All edges that leave one node of a supernet's cell, by the compiled kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsrna.errors import UnsupportedError
from dsrna.nn.edges.compiled.library import library
from dsrna.nn.edges.compiled.replay import replay
from dsrna.nn.edges.fused_edges import FusedEdges
from dsrna.nn.edges.mixed_operation import MixedOperation
from dsrna.nn.factorized_reduce import FactorizedReduce
from dsrna.nn.operations import DilatedConv, SeparableConv, Zero
from dsrna.nn.relu_conv_bn import ReluConvBn

_LANES = 4
"""Channels of the kernels' maps are a multiple of this; missing ones are filled with zeros."""

_NONE, _MAX_POOL, _AVG_POOL, _SKIP, _REDUCE, _DENSE, _SEPARABLE, _DILATED = range(8)
NAMES = {torch.float32: "float", torch.float64: "double"}
"""Precisions of the kernels, by their names there."""


_DEPTHWISE_SIZES = (3, 5)


class _Term(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_int) for name in ("kind", "size", "map", "norm", "first_map", "first_norm", "parameter")
    ]


class _Call(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int) for name in ("images", "height", "width", "stride", "channels", "filled_channels")),
        *((name, ctypes.c_int) for name in ("edges", "primitives", "maps", "norms", "parameters")),
        *((name, ctypes.c_int) for name in ("training", "threads")),
        ("eps", ctypes.c_double),
        ("terms", ctypes.c_void_p),
    ]


class Sizes(NamedTuple):
    """What doesn't change from call to call."""

    edges: int
    primitives: int
    maps: int
    channels: int
    stride: int
    eps: float


class CompiledEdges(FusedEdges):
    """outputs_e = sum_o w_eo o_e(x) by the kernels, on the CPU.

    Args:
        edges: see :class:`~dsrna.nn.edges.fused_edges.FusedEdges`.

    Attributes:
        terms: the operations for the kernels.
        size: what doesn't change from call to call.

    Raises:
        UnsupportedError: an operation has no compiled form.
    """

    def __init__(self, edges: Sequence[MixedOperation]) -> None:
        super().__init__(edges)
        self._maps = 0
        self._pooled: dict[int, int] = {}
        terms = [self._term(operation) for edge in edges for operation in edge.operations]
        self.terms = (_Term * len(terms))(*terms)
        first = edges[0]
        self.size = Sizes(
            len(edges),
            len(first.operations),
            self._maps,
            first.active_channels,
            first.stride,
            self.norms[0].eps if self.norms else 0.0,
        )

    def _term(self, operation: nn.Module) -> _Term:
        modules = list(operation.modules())
        parameter = len(self.convolutions)
        self.convolutions.extend(m for m in modules if isinstance(m, nn.Conv2d))
        norms = [m for m in modules if isinstance(m, nn.BatchNorm2d)]
        first_norm, norm = len(self.norms), len(self.norms) + len(norms) - 1
        self.norms.extend(norms)
        match operation:
            case Zero():
                return _Term(_NONE, 0, -1, -1, -1, -1, 0)
            case nn.Identity():
                return _Term(_SKIP, 0, -1, -1, -1, -1, 0)
            case FactorizedReduce():
                return _Term(_REDUCE, 0, self._new_map(), norm, -1, -1, parameter)
            case ReluConvBn():
                size = cast(nn.Conv2d, operation[1]).kernel_size[0]
                return _Term(_DENSE, size, self._new_map(), norm, -1, -1, parameter)
            case SeparableConv() if (size := cast(nn.Conv2d, operation[1]).kernel_size[0]) in _DEPTHWISE_SIZES:
                return _Term(_SEPARABLE, size, self._new_map(), norm, self._new_map(), first_norm, parameter)
            case DilatedConv() if (size := cast(nn.Conv2d, operation[1]).kernel_size[0]) in _DEPTHWISE_SIZES:
                return _Term(_DILATED, size, self._new_map(), norm, -1, -1, parameter)
            case nn.Sequential() if _is_usual_pooling(operation[0]):
                kind = _MAX_POOL if isinstance(operation[0], nn.MaxPool2d) else _AVG_POOL
                if kind not in self._pooled:
                    self._pooled[kind] = self._new_map()
                return _Term(kind, 3, self._pooled[kind], norm, -1, -1, 0)
        raise UnsupportedError(f"{type(operation).__name__} has no compiled form")

    def _new_map(self) -> int:
        self._maps += 1
        return self._maps - 1

    def __call__(self, x: Tensor, weights: Tensor) -> list[Tensor]:
        """See :class:`~dsrna.nn.edges.fused_edges.FusedEdges`."""
        training = self.training
        statistics = None if training or not self.norms else self.running()
        *outputs, means, variances = _MixedEdges.apply(self, training, statistics, x, weights, *self.parameters)
        if training:
            count = outputs[0].numel() // outputs[0].shape[1]
            self.track(means, variances * (count / max(count - 1, 1)))
        return outputs

    def run(
        self,
        direction: str,
        training: bool,
        x: Tensor,
        weights: Tensor,
        parameters: Sequence[Tensor],
        means: Tensor,
        variances: Tensor,
        maps: Tensor,
        *rest: Any,
    ) -> None:
        """Calls a kernel; ``rest`` are the pointers that only this direction has."""
        images, _, height, width = x.shape
        size = self.size
        described = _Call(
            images=images, height=height, width=width, stride=size.stride, channels=x.shape[1],
            filled_channels=size.channels, edges=size.edges, primitives=size.primitives, maps=size.maps,
            norms=len(self.norms), parameters=len(self.convolutions), training=training,
            threads=torch.get_num_threads(), eps=size.eps, terms=ctypes.addressof(self.terms),
        )  # fmt: skip
        weights = weights.contiguous()
        parameters = [parameter.contiguous() for parameter in parameters]
        getattr(library(), f"{direction}_{NAMES[x.dtype]}")(
            ctypes.byref(described), _pointer(x), _pointers(parameters), _pointer(weights), _pointer(means),
            _pointer(variances), _pointer(maps), *rest,
        )  # fmt: skip


class _MixedEdges(torch.autograd.Function):
    """The kernels as one function; its gradient, where it is to be differentiated itself, by the textbook's."""

    @staticmethod
    def forward(
        ctx: Any,
        fused: CompiledEdges,
        training: bool,
        statistics: tuple[Tensor, Tensor] | None,
        x: Tensor,
        weights: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, ...]:
        size = fused.size
        filled = _filled(x)
        images, channels, height, width = filled.shape
        shape = (images, channels, -(-height // size.stride), -(-width // size.stride))
        outputs = [_empty(x, shape) for _ in range(size.edges)]
        maps = x.new_empty((size.maps, shape[0] * shape[1] * shape[2] * shape[3]))
        means, variances = x.new_zeros((2, len(fused.norms), channels))
        if statistics is not None:
            means[:, : size.channels], variances[:, : size.channels] = statistics
        fused.run("forward", training, filled, weights, parameters, means, variances, maps, _pointers(outputs))
        ctx.fused, ctx.training = fused, training
        ctx.save_for_backward(x, weights, maps, means, variances, *parameters)
        means, variances = means[:, : size.channels], variances[:, : size.channels]
        ctx.mark_non_differentiable(means, variances)
        ctx.set_materialize_grads(False)
        return *(output[:, : size.channels] for output in outputs), means, variances

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        fused: CompiledEdges = ctx.fused
        x, weights, maps, means, variances, *parameters = ctx.saved_tensors
        edges = gradients[: fused.size.edges]
        given = [e for e, gradient in enumerate(edges) if gradient is not None]
        if torch.is_grad_enabled():
            return None, None, None, *_differentiable(ctx, fused, x, weights, parameters, means, variances, edges)
        filled = _filled(x)
        whole = [_filled(gradient) for gradient in edges if gradient is not None]
        if len(given) < len(edges):
            nothing = torch.zeros_like(whole[0])
            whole = [whole[given.index(e)] if e in given else nothing for e in range(len(edges))]
        weight_gradients = torch.empty_like(weights, memory_format=torch.contiguous_format)
        x_gradient = _empty(x, filled.shape) if ctx.needs_input_grad[3] else None
        wanted = any(ctx.needs_input_grad[5:])
        parameter_gradients = [torch.empty_like(p, memory_format=torch.contiguous_format) for p in parameters if wanted]
        fused.run(
            "backward", ctx.training, filled, weights, parameters, means, variances, maps,
            _pointers(whole),
            _pointer(weight_gradients),
            _pointer(x_gradient) if x_gradient is not None else None,
            _pointers(parameter_gradients) if wanted else None,
        )  # fmt: skip
        if x_gradient is not None:
            x_gradient = x_gradient[:, : fused.size.channels]
        return (
            None,
            None,
            None,
            x_gradient,
            weight_gradients,
            *(parameter_gradients if wanted else [None] * len(parameters)),
        )


def _differentiable(
    ctx: Any,
    fused: CompiledEdges,
    x: Tensor,
    weights: Tensor,
    parameters: list[Tensor],
    means: Tensor,
    variances: Tensor,
    gradients: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """The gradients as a function that can be differentiated: of the same maps, computed anew by torch's operations."""
    channels = fused.size.channels
    statistics = None if ctx.training else (means[:, :channels], variances[:, :channels])
    outputs = replay(fused.edges, x, weights, parameters, statistics)
    inputs = [x, weights, *parameters]
    wanted = [i for i, needed in enumerate(ctx.needs_input_grad[3:]) if needed]
    pairs = [(output, gradient) for output, gradient in zip(outputs, gradients, strict=True) if gradient is not None]
    found = torch.autograd.grad(
        [output for output, _ in pairs],
        [inputs[i] for i in wanted],
        [gradient for _, gradient in pairs],
        create_graph=True,
        allow_unused=True,
    )
    result: list[Tensor | None] = [None] * len(inputs)
    for i, gradient in zip(wanted, found, strict=True):
        result[i] = gradient
    return result


def _is_usual_pooling(module: nn.Module) -> bool:
    """Whether it is a 3 x 3 pooling as the search spaces have it."""
    if not isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        return False
    counted = module.count_include_pad if isinstance(module, nn.AvgPool2d) else module.dilation != 1
    return (module.kernel_size, module.padding, module.ceil_mode, counted) == (3, 1, False, False)


def _filled(x: Tensor) -> Tensor:
    """x, channels last, with zeros up to the next multiple of _LANES channels."""
    missing = -x.shape[1] % _LANES
    x = F.pad(x, (0, 0, 0, 0, 0, missing)) if missing else x
    return x.contiguous(memory_format=torch.channels_last)


def _empty(like: Tensor, shape: Sequence[int]) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, memory_format=torch.channels_last)


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def _pointers(tensors: Sequence[Tensor]) -> Any:
    return (ctypes.c_void_p * max(len(tensors), 1))(*(tensor.data_ptr() for tensor in tensors))
