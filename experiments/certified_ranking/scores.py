"""Every form of the certified metric, on one network: what the tables compare."""

from __future__ import annotations

from torch import Tensor, no_grad
from torch.nn import Module

from dsrna.metrics.certified import Certified
from dsrna.metrics.jacobian import JacobianNorm

GRID = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Radii at which the forms are scored: ``auto`` during a search is one number for all alphas, chosen in the tables."""
FORMS = {
    "margin, min": {"form": "margin", "reduction": "min"},
    "margin, mean": {"form": "margin", "reduction": "mean"},
    "radius": {"form": "radius", "reduction": "min"},
}


def score(model: Module, x: Tensor, y: Tensor, crown_grid: tuple[float, ...] = ()) -> dict[str, float]:
    """Name of a score -> its mean over the images.

    ``ibp, FORM, auto`` is at the eps that fits this very network; ``ibp, FORM, EPS`` at a given one; ``eps`` and
    ``eps of crown_ibp`` are the fitting ones themselves (the second only with a ``crown_grid``, which names the radii
    at which CROWN-IBP's smallest margin is scored).
    """
    found: dict[str, float] = {}
    with no_grad():
        for name, form in FORMS.items():
            metric = Certified("linf", "ibp", **form)  # type: ignore[arg-type]
            found[f"ibp, {name}, auto"] = metric(model, x, y).mean().item()
            found["eps"] = metric.numbers["eps"]
            for eps in GRID:
                metric = Certified("linf", "ibp", **form, eps=eps, bisection_steps=8)  # type: ignore[arg-type]
                found[f"ibp, {name}, {eps:g}"] = metric(model, x, y).mean().item()
        for eps in crown_grid:
            metric = Certified("linf", "crown_ibp", eps=eps)
            found[f"crown_ibp, margin, min, {eps:g}"] = metric(model, x, y).mean().item()
        found["jacobian"] = JacobianNorm("l2", "exact")(model, x, y).mean().item()
        found["clean accuracy"] = (model(x).argmax(1) == y).double().mean().item()
    return found
