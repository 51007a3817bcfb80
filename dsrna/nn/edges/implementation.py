"""Chooses between the implementations of a supernet's edges."""

from __future__ import annotations

from typing import get_args

from torch import nn

from dsrna.errors import ConfigError
from dsrna.nn.edges.limits import Fast, why_never
from dsrna.nn.edges.mixed_edges import Implementation, MixedEdges

_CHOICES = ("auto", "compiled", "batched", "textbook")


def use_implementation(model: nn.Module, choice: str = "auto", device: str = "cpu") -> str:
    """Sets how a supernet's edges are computed from now on, wherever a call allows it.

    Args:
        model: the supernet, or anything that holds one.
        choice: ``"compiled"`` (CPUs alone), ``"batched"``, ``"textbook"``, or ``"auto"``, the first of them that knows
            the operations and works on the device.
        device: kind of the device where it will run, ``"cpu"``, ``"cuda"``, …

    Returns:
        What is in use and, where that isn't the first, why: text for a log.

    Raises:
        ConfigError: the choice isn't one of these, or what was asked for can't be had.
    """
    if choice not in _CHOICES:
        raise ConfigError(
            f"Expected `implementation` to be one of {', '.join(_CHOICES)}, got {choice!r}. "
            "(conf: search.implementation)"
        )
    cells = [module for module in model.modules() if isinstance(module, MixedEdges)]
    objections = []
    used: Implementation = "textbook"
    for kind in get_args(Fast):
        objection = _objection(kind, cells, device) if choice in ("auto", kind) else None
        if choice == kind and objection is not None:
            raise ConfigError(
                f"`implementation: {kind}` can't be had: {objection}. Use `auto` or `textbook`. "
                "(conf: search.implementation)"
            )
        if choice in ("auto", kind) and objection is None:
            used = kind
            break
        objections.append(objection)
    for edges in cells:
        edges.implementation = used
    if choice != "auto":
        return f"{used} (it was asked for)"
    return " ".join([used, *(f"({objection})" for objection in objections)])


def _objection(kind: Fast, cells: list[MixedEdges], device: str) -> str | None:
    if kind == "compiled" and device != "cpu":
        return f"the network runs on {device}, the compiled kernels are for CPUs"
    return next((reason for edges in cells if (reason := why_never(kind, edges)) is not None), None)
