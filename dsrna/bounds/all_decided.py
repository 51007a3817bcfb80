"""Cases in which every ReLU is decided: linear programs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dsrna.bounds.interval import Interval
from dsrna.bounds.splits import Cases, Splits
from dsrna.bounds.substitution import Affine, lower_functions

_FAR = 2.0
"""How far above 0 the bound of a case that cannot be is lifted, in units of how far it was below."""


def multipliers_of_linear_program(
    splits: Splits, case: Cases, bounds: Callable[[Cases], tuple[Tensor, Affine]], ball: Interval
) -> tuple[Tensor, Tensor | None]:
    """The multipliers that make the bound of a completely decided case as high as it gets.

    Where all signs are decided, margin and ReLUs' inputs are affine functions of the image: the least margin in the
    case is a linear program, whose dual solution are the multipliers. Where no image has these signs, they are the
    dual solution of the program that asks by how much the signs are missed, times as much as lifts the bound above 0.
    The solver's numbers are only proposals: the bound is computed from them as from others.

    Args:
        splits: the inputs of ReLUs.
        case: one case, B = 1.
        bounds: of cases, by substitution.
        ball: the box.

    Returns:
        (1, U) multipliers, and the image (1, C, H, W) at which the solver says that the margin is lowest; None where
        it says that there's none.
    """
    plain = case._replace(multipliers=torch.zeros_like(case.multipliers))
    lower, affine = bounds(plain)
    signs = case.signs[0].double()
    matrix, shift = _inputs(splits)
    towards, limit = -signs[:, None] * matrix, signs * shift
    low, high = (end.flatten().double().cpu().numpy() for end in (ball.lower, ball.upper))
    box = np.stack([low, high], axis=1)
    costs = affine.rows.flatten().double().cpu().numpy()
    from scipy.optimize import linprog

    found = linprog(costs, A_ub=towards.cpu().numpy(), b_ub=limit.cpu().numpy(), bounds=box)
    if found.status == 0:
        point = torch.from_numpy(found.x).to(ball.centre).view(ball.shape)
        return _multipliers(found, case), torch.minimum(torch.maximum(point, ball.lower), ball.upper)
    missed = np.hstack([towards.cpu().numpy(), -np.ones((len(limit), 1))])
    least = linprog(
        np.append(np.zeros_like(costs), 1.0),
        A_ub=missed,
        b_ub=limit.cpu().numpy(),
        bounds=np.vstack([box, np.array([[-np.inf, np.inf]])]),
    )
    if least.status != 0 or least.fun <= 0:
        return case.multipliers, None
    lift = _FAR * max(-float(lower[0]), 1e-6) / float(least.fun)
    return lift * _multipliers(least, case), None


def _multipliers(found: object, case: Cases) -> Tensor:
    marginals = np.asarray(found.ineqlin.marginals)  # type: ignore[attr-defined]
    return torch.from_numpy(-marginals).clamp(min=0).to(case.multipliers)[None]


def _inputs(splits: Splits) -> tuple[Tensor, Tensor]:
    """The ReLUs' inputs as affine functions of the image in the case that was bounded last: (U, D) and (U,)."""
    matrix, shift = [], []
    for node, place in splits.items():
        source = node.inputs[0]
        rows = node.lower.new_zeros(len(place), 1, source.shape[1:].numel())
        rows[torch.arange(len(place)), 0, place] = 1
        with splits.without_multipliers():
            affine = lower_functions(source, rows.view(-1, 1, *source.shape[1:]))
        matrix.append(affine.rows.flatten(1).double())
        shift.append(affine.constant[:, 0].double())
    return torch.cat(matrix), torch.cat(shift)
