"""Linear relaxation by the library auto_LiRPA, on lowered networks."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, NamedTuple, NoReturn, get_args

import torch
from torch import Tensor, nn

from dsrna.bounds.compat import auto_lirpa, bounded_module
from dsrna.bounds.engine import BoundEngine, Bounds
from dsrna.bounds.interval import Interval
from dsrna.bounds.lowering.lower import lower
from dsrna.bounds.lowering.lowered_network import LoweredNetwork
from dsrna.bounds.margin_matrix import margin_matrix
from dsrna.errors import ConfigError, UnsupportedError
from dsrna.types import Norm

Method = Literal["CROWN-IBP", "CROWN"]

_OWN = ("ibp", "crown_ibp", "crown", "alpha_crown")


class _Traced(NamedTuple):
    model: nn.Module
    kind: tuple[object, ...]  # what else a trace depends on: the images' shape, dtype and device
    lowered: LoweredNetwork
    bounded: Any  # auto_LiRPA's BoundedModule


class AutoLirpa(BoundEngine):
    """CROWN-IBP or CROWN by auto_LiRPA: the reference for our own engines, and slower.

    The network is lowered first (see :func:`dsrna.bounds.lowering.lower.lower`), since auto_LiRPA is unsound on many
    operations of search spaces. The lowered network is traced once for a model and image size, and kept for the next
    call with these; weights, BatchNorm statistics and operation weights are taken anew for every call.

    For l_2, every linear function is bounded over the ball and over the box around it that [0, 1] cuts, and the tighter
    bound taken.

    Differentiable in images, eps, network weights and operation weights.

    Args:
        norm: ``"linf"`` or ``"l2"``.
        batch_size: at most so many images are bounded at once, to bound memory; None for all.
        method: ``"CROWN-IBP"`` or ``"CROWN"``.

    Raises:
        ConfigError: a setting is out of range.
        MissingPartError: at the first call, if auto_LiRPA isn't installed.
    """

    def __init__(self, norm: Norm = "linf", batch_size: int | None = None, method: Method = "CROWN-IBP") -> None:
        super().__init__(norm, batch_size)
        if method not in get_args(Method):
            raise ConfigError(
                f"Expected `method` to be one of {', '.join(get_args(Method))}, got {method!r}. (conf: method)"
            )
        self.method = method
        self._traced: _Traced | None = None

    def allowing_for(self, precision: torch.dtype) -> NoReturn:
        """The library knows nothing of rounding."""
        raise UnsupportedError(f"auto_LiRPA's bounds have no allowance for rounding; use one of {', '.join(_OWN)}.")

    def bound(self, model: nn.Module, x: Tensor, eps: Tensor, y: Tensor | None) -> Bounds:
        lowered, bounded = self._trace(model, x)
        ball = Interval.ball(x, eps, self.norm)
        _take_values(bounded, lowered.values(), ball)
        specification = self._specification(bounded, x, y)
        perturbed = auto_lirpa().BoundedTensor(x.detach(), _perturbation(ball, x, eps, self.norm))
        lower_bound, upper_bound = bounded.compute_bounds(x=(perturbed,), C=specification, method=self.method)
        bounded._clear_and_set_new(None)  # lets go of the graph of this call
        return Bounds.ordered(lower_bound, upper_bound)

    def _trace(self, model: nn.Module, x: Tensor) -> tuple[LoweredNetwork, Any]:
        kind = (x.shape[1:], x.dtype, x.device)
        if self._traced is None or self._traced.model is not model or self._traced.kind != kind:
            lowered = lower(model, x)
            self._traced = _Traced(model, kind, lowered, bounded_module(lowered, x[:1].detach()))
        return self._traced.lowered, self._traced.bounded

    def _specification(self, bounded: Any, x: Tensor, y: Tensor | None) -> Tensor:
        classes = bounded.final_shape[1]
        if y is not None:
            return margin_matrix(y, classes, x)
        return torch.eye(classes, dtype=x.dtype, device=x.device).expand(len(x), classes, classes)


def _take_values(bounded: Any, values: dict[str, Tensor], ball: Interval) -> None:
    """Lets the bounded module compute with given values, and its first layers with the ball itself."""
    operators = auto_lirpa().bound_ops
    for node in bounded._modules.values():
        if isinstance(node, operators.BoundParams):
            # Other strides than usual would make maps of unusual strides, which auto_LiRPA can't view flat.
            node.forward = partial(_constant, values[node.ori_name].clone(memory_format=torch.contiguous_format))
    for node in bounded._modules.values():
        if isinstance(node, operators.BoundConv) and isinstance(node.inputs[0], operators.BoundInput):
            node.interval_propagate = partial(_first_layer, node, ball)


def _constant(value: Tensor) -> Tensor:
    return value


def _first_layer(node: Any, ball: Interval, *_: Any) -> tuple[Tensor, Tensor]:
    """The interval of a convolution of the image, tighter for l_2 than that of the box around the ball."""
    weight, *bias = (parameter.forward() for parameter in node.inputs[1:])
    output = ball.conv2d(weight, bias[0] if bias else None, node.stride, node.padding)
    return output.lower, output.upper


def _perturbation(ball: Interval, x: Tensor, eps: Tensor, norm: Norm) -> Any:
    """The ball as a perturbation of auto_LiRPA: a box, whose linear functions are bounded over the l_2 ball as well."""
    box_perturbation: Any = auto_lirpa().PerturbationLpNorm
    if norm == "linf":
        return box_perturbation(norm=float("inf"), x_L=ball.lower, x_U=ball.upper)

    class Ball(box_perturbation):
        def concretize(self, _x: Tensor, A: Any, sign: int = -1, *arguments: Any, **settings: Any) -> Any:  # noqa: N803
            box = super().concretize(_x, A, sign, *arguments, **settings)
            if not isinstance(A, Tensor):  # the identity, or nothing
                return box
            rows = A.flatten(2)
            length = rows.square().sum(dim=2).clamp(min=torch.finfo(rows.dtype).tiny).sqrt()
            round_bound = (rows @ x.flatten(1).unsqueeze(2)).squeeze(2) + sign * eps[:, None] * length
            return torch.minimum(box, round_bound) if sign == 1 else torch.maximum(box, round_bound)

    return Ball(norm=float("inf"), x_L=ball.lower, x_U=ball.upper)
