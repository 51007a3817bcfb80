"""All edges that leave one node of a supernet's cell, by the compiled kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsrna.nn.average_pool import AveragePool2d
from dsrna.nn.edges.compiled.library import KernelsUnavailableError, library
from dsrna.nn.edges.compiled.second_derivatives import differentiable_gradients
from dsrna.nn.edges.fused_edges import FusedEdges
from dsrna.nn.edges.mixed_operation import MixedOperation
from dsrna.nn.factorized_reduce import FactorizedReduce
from dsrna.nn.operations import DilatedConv, SeparableConv, Zero
from dsrna.nn.plain_call import why_not_plain
from dsrna.nn.relu_conv_bn import ReluConvBn

_LANES = 4
"""Channels of the kernels' maps are a multiple of this; missing ones are filled with zeros."""

_NONE, _MAX_POOL, _AVG_POOL, _SKIP, _REDUCE, _DENSE, _SEPARABLE, _DILATED = range(8)
NAMES = {torch.float32: "float", torch.float64: "double"}
"""Precisions of the kernels, by their names there."""


_KINDS: dict[type[nn.Module], int] = {
    Zero: _NONE, nn.Identity: _SKIP, FactorizedReduce: _REDUCE,
    ReluConvBn: _DENSE, SeparableConv: _SEPARABLE, DilatedConv: _DILATED,
}  # fmt: skip
_POOLINGS: dict[type[nn.Module], int] = {nn.MaxPool2d: _MAX_POOL, AveragePool2d: _AVG_POOL}
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
        sizes: what doesn't change from call to call.
    """

    def __init__(self, edges: Sequence[MixedOperation]) -> None:
        super().__init__(edges)
        self._maps = 0
        self._pooled: dict[int, int] = {}
        terms = [self._term(operation) for of_edge in self.operations for operation in of_edge]
        self.terms = (_Term * len(terms))(*terms)
        first = edges[0]
        self.sizes = Sizes(
            len(edges),
            len(first.operations),
            self._maps,
            first.active_channels,
            first.stride,
            self.norms[0].eps if self.norms else 0.0,
        )

    @classmethod
    def missing(cls) -> str | None:
        """Why there are no kernels, or None; builds them if they aren't yet."""
        try:
            library()
        except KernelsUnavailableError as error:
            return str(error)
        return None

    @staticmethod
    def knows(operations: Sequence[nn.Module]) -> list[bool]:
        """Which of the operations have a kernel."""
        return [_kernel(operation) is not None for operation in operations]

    def _objection_to_tensors(self, tensors: Sequence[Tensor]) -> str | None:
        precision = tensors[0].dtype
        if (reason := why_not_plain(*tensors)) is not None:
            return reason
        if precision not in NAMES:
            return "the precision is neither float32 nor float64"
        if any(tensor.dtype != precision for tensor in tensors):
            return "weights of another precision than the images"
        return None

    def _term(self, operation: nn.Module) -> _Term:
        modules = list(operation.modules())
        parameter = len(self.convolutions)
        self.convolutions.extend(m for m in modules if isinstance(m, nn.Conv2d))
        norms = [m for m in modules if isinstance(m, nn.BatchNorm2d)]
        first_norm, norm = len(self.norms), len(self.norms) + len(norms) - 1
        self.norms.extend(norms)
        kind, size = cast(tuple[int, int], _kernel(operation))
        if kind in (_NONE, _SKIP):
            return _Term(kind, size, -1, -1, -1, -1, 0)
        if kind in (_MAX_POOL, _AVG_POOL):
            if kind not in self._pooled:
                self._pooled[kind] = self._new_map()
            return _Term(kind, size, self._pooled[kind], norm, -1, -1, 0)
        if kind == _SEPARABLE:
            return _Term(kind, size, self._new_map(), norm, self._new_map(), first_norm, parameter)
        return _Term(kind, size, self._new_map(), norm, -1, -1, parameter)

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
        sizes = self.sizes
        described = _Call(
            images=images, height=height, width=width, stride=sizes.stride, channels=x.shape[1],
            filled_channels=sizes.channels, edges=sizes.edges, primitives=sizes.primitives, maps=sizes.maps,
            norms=len(self.norms), parameters=len(self.convolutions), training=training,
            threads=torch.get_num_threads(), eps=sizes.eps, terms=ctypes.addressof(self.terms),
        )  # fmt: skip
        weights = weights.contiguous()
        parameters = [parameter.contiguous() for parameter in parameters]
        getattr(library(), f"{direction}_{NAMES[x.dtype]}")(
            ctypes.byref(described), _pointer(x), _pointers(parameters), _pointer(weights), _pointer(means),
            _pointer(variances), _pointer(maps), *rest,
        )  # fmt: skip


class _MixedEdges(torch.autograd.Function):
    """The kernels as one function; its gradient, where it is to be differentiated itself, by torch's operations."""

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
        sizes = fused.sizes
        filled = _filled(x)
        images, channels, height, width = filled.shape
        shape = (images, channels, -(-height // sizes.stride), -(-width // sizes.stride))
        outputs = [_empty(x, shape) for _ in range(sizes.edges)]
        maps = x.new_empty((sizes.maps, shape[0] * shape[1] * shape[2] * shape[3]))
        means, variances = x.new_zeros((2, len(fused.norms), channels))
        if statistics is not None:
            means[:, : sizes.channels], variances[:, : sizes.channels] = statistics
        fused.run("forward", training, filled, weights, parameters, means, variances, maps, _pointers(outputs))
        ctx.fused, ctx.training = fused, training
        ctx.save_for_backward(x, weights, maps, means, variances, *parameters)
        means, variances = means[:, : sizes.channels], variances[:, : sizes.channels]
        ctx.mark_non_differentiable(means, variances)
        ctx.set_materialize_grads(False)
        return *(output[:, : sizes.channels] for output in outputs), means, variances

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        fused: CompiledEdges = ctx.fused
        x, weights, maps, means, variances, *parameters = ctx.saved_tensors
        edges = gradients[: fused.sizes.edges]
        given = [e for e, gradient in enumerate(edges) if gradient is not None]
        if torch.is_grad_enabled():
            channels = fused.sizes.channels
            statistics = None if ctx.training else (means[:, :channels], variances[:, :channels])
            inputs, wanted = (x, weights, *parameters), ctx.needs_input_grad[3:]
            return None, None, None, *differentiable_gradients(fused.operations, inputs, statistics, edges, wanted)
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
            x_gradient = x_gradient[:, : fused.sizes.channels]
        return (
            None,
            None,
            None,
            x_gradient,
            weight_gradients,
            *(parameter_gradients if wanted else [None] * len(parameters)),
        )


def _kernel(operation: nn.Module) -> tuple[int, int] | None:
    """An operation's kind and the size of its kernel, or None where there is none for it.

    Subclasses may compute anything, so exact types count.
    """
    kind = _KINDS.get(type(operation))
    links = list(operation.children())
    if kind in (_NONE, _SKIP, _REDUCE):
        return kind, 0
    if kind is not None:
        size = cast(nn.Conv2d, links[1]).kernel_size[0]
        return (kind, size) if kind == _DENSE or size in _DEPTHWISE_SIZES else None
    if type(operation) is nn.Sequential and len(links) == 2 and type(links[1]) is nn.BatchNorm2d:
        pooling = _POOLINGS.get(type(links[0]))
        return (pooling, 3) if pooling is not None and _is_usual(links[0]) else None
    return None


def _is_usual(pooling: nn.Module) -> bool:
    """Whether it is a 3 x 3 pooling as the search spaces have it."""
    if isinstance(pooling, nn.AvgPool2d):
        special = pooling.count_include_pad or pooling.divisor_override is not None
    else:
        special = cast(nn.MaxPool2d, pooling).dilation != 1
    return (pooling.kernel_size, pooling.padding, pooling.ceil_mode, special) == (3, 1, False, False)


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
