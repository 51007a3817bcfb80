"""Chooses between the two implementations of a supernet's edges."""

from __future__ import annotations

from torch import nn

from dsrna.errors import ConfigError
from dsrna.nn.compiled.limits import why_never
from dsrna.nn.mixed_edges import MixedEdges

_CHOICES = ("auto", "compiled", "textbook")


def use_implementation(model: nn.Module, choice: str = "auto", device: str = "cpu") -> str:
    """Sets how a supernet's edges are computed from now on.

    Args:
        model: the supernet, or anything that holds one.
        choice: ``"compiled"`` where a call allows it (``"auto"``: if this machine can build the kernels, they know the
            operations, and it runs on a CPU), or ``"textbook"``.

        device: kind of the device where it will run, ``"cpu"``, ``"cuda"``, …

    Returns:
        What is in use and, where it is the textbook, why: text for a log.

    Raises:
        ConfigError: the choice isn't one of the three, or ``"compiled"`` can't be had.
    """
    if choice not in _CHOICES:
        raise ConfigError(
            f"Expected `implementation` to be one of {', '.join(_CHOICES)}, got {choice!r}. "
            "(conf: search.implementation)"
        )
    cells = [module for module in model.modules() if isinstance(module, MixedEdges)]
    objection = "it was asked for" if choice == "textbook" else _objection(cells, device)
    if choice == "compiled" and objection is not None:
        raise ConfigError(
            f"`implementation: compiled` can't be had: {objection}. Use `auto` or `textbook`. "
            "(conf: search.implementation)"
        )
    for edges in cells:
        edges.compiled = objection is None
    return "compiled" if objection is None else f"textbook ({objection})"


def _objection(cells: list[MixedEdges], device: str) -> str | None:
    if device != "cpu":
        return f"the network runs on {device}, the compiled kernels are for CPUs"
    return next((reason for edges in cells if (reason := why_never(edges)) is not None), None)
