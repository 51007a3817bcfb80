"""Products with the Jacobian of the logits in the images: rows, directional derivatives, central differences."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import forward_ad

from dsrna.errors import UnsupportedError
from dsrna.functional.plain_batch_norm import PlainBatchNorm

_NO_GRADIENT = (
    "The network's logits do not depend differentiably on the images (are they detached, or computed without "
    "gradients?), so that their Jacobian isn't known: a network without one would look robust."
)


def jacobian_row(logits: Tensor, x: Tensor, classes: Tensor, *, create_graph: bool, keep_logits: bool = True) -> Tensor:
    """Row k of the Jacobian, d f_k(x) / d x, of another class k for each image.

    Exact where no image's logits depend on another image. With ``create_graph`` the row is differentiable in whatever
    the logits depend on. Cost: one backward pass.

    Args:
        logits: (N, K), computed from ``x``.
        x: (N, ...), requires a gradient.
        classes: (N,) int64 in 0..K-1.
        create_graph: whether the row itself will be differentiated.
        keep_logits: whether the graph of the logits is kept for further rows; without, its memory is free at once.

    Returns:
        (N, ...), of the shape of ``x``.

    Raises:
        UnsupportedError: the logits don't depend differentiably on ``x``.
    """
    if not logits.requires_grad:
        raise UnsupportedError(_NO_GRADIENT)
    with torch.enable_grad():
        picked = logits.gather(1, classes[:, None]).sum()
    (row,) = torch.autograd.grad(
        picked, x, create_graph=create_graph, retain_graph=create_graph or keep_logits, allow_unused=True
    )
    if row is None:
        raise UnsupportedError(_NO_GRADIENT)
    return row


def directional_derivative(function: Callable[[Tensor], Tensor], x: Tensor, direction: Tensor) -> Tensor:
    """J(x) z, how fast every output moves along a direction z, by forward-mode differentiation.

    Differentiable in the function's parameters. Cost: about two forward passes, however many outputs there are.

    Args:
        function: (N, ...) -> (N, K).
        x: (N, ...).
        direction: z, of the shape of ``x``.

    Returns:
        (N, K).

    Raises:
        UnsupportedError: the outputs don't depend differentiably on ``x``: that the derivative is 0 can't be known.

    >>> directional_derivative(lambda x: x**2, torch.tensor([[3.0]]), torch.tensor([[2.0]]))
    tensor([[12.]])
    """
    with forward_ad.dual_level(), PlainBatchNorm():
        # Cloned, as forward mode refuses images that share memory (expanded ones).
        tangent = forward_ad.unpack_dual(function(forward_ad.make_dual(x.clone(), direction))).tangent
    if tangent is None:
        raise UnsupportedError(_NO_GRADIENT)
    return tangent


def central_difference(function: Callable[[Tensor], Tensor], x: Tensor, displacement: Tensor) -> Tensor:
    """(f(x + d) - f(x - d)) / 2, which is J(x) d + O(|d|^3) where f is smooth.

    Differentiable in the function's parameters by first-order gradients alone. Cost: two forward passes.

    Args:
        function: (N, ...) -> (N, K).
        x: (N, ...).
        displacement: d, of the shape of ``x``.

    Returns:
        (N, K).
    """
    return (function(x + displacement) - function(x - displacement)) / 2
