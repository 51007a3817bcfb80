"""Chooses between the implementations of a supernet's edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import nn

from dsrna.errors import ConfigError
from dsrna.nn.edges.mixed_edges import FUSED, Implementation, MixedEdges
from dsrna.nn.operations import Zero

_CHOICES = ("auto", *FUSED, "reference")
_OLD_NAMES = {"textbook": "reference"}
"""What earlier run folders say."""


def use_implementation(model: nn.Module, choice: str = "auto", device: str = "cpu") -> str:
    """Sets how a supernet's edges are computed from now on, wherever a call allows it.

    Args:
        model: the supernet, or anything that holds one.
        choice: ``"compiled"`` (CPUs alone), ``"batched"``, ``"reference"``, or ``"auto"``, the first of them that knows
            any of the operations and works on the device; but ``"batched"`` where the kernels know no more than half of
            the operations that it knows, and would be slower.
        device: kind of the device where it will run, ``"cpu"``, ``"cuda"``, …

    Returns:
        Text for a log: what is in use, why not a faster one, which operations it leaves to their modules.

    Raises:
        ConfigError: the choice isn't one of these, or what was asked for can't be had.
    """
    choice = _OLD_NAMES.get(choice, choice)
    if choice not in _CHOICES:
        raise ConfigError(
            f"Expected `implementation` to be one of {', '.join(_CHOICES)}, got {choice!r}. "
            "(conf: search.implementation)"
        )
    cells = [module for module in model.modules() if isinstance(module, MixedEdges)]
    notes = [] if choice == "auto" else ["it was asked for"]
    used = "reference"
    for kind in FUSED if choice == "auto" else FUSED.keys() & {choice}:
        objection = _objection(kind, cells, device)
        if objection is None and choice == "auto" and kind == "compiled":
            objection = _better_batched(cells)
        if objection is None:
            used = kind
            notes += _left(kind, cells)
            break
        if choice == kind:
            raise ConfigError(
                f"`implementation: {kind}` can't be had: {objection}. Use `auto` or `reference`. "
                "(conf: search.implementation)"
            )
        notes.append(objection)
    for edges in cells:
        edges.implementation = cast(Implementation, used)
    return " ".join([used, *(f"({note})" for note in notes)])


def _objection(kind: str, cells: Sequence[MixedEdges], device: str) -> str | None:
    if kind == "compiled" and device != "cpu":
        return f"the network runs on {device}, the compiled kernels are for CPUs"
    reasons = [edges.standing_objection(kind) for edges in cells]
    return reasons[0] if reasons and all(reasons) else None  # a cell of which nothing is known has its own speed alone


def _better_batched(cells: Sequence[MixedEdges]) -> str | None:
    """Why the kernels, which could serve, are slower than the batched form, or None."""
    compiled, batched = _known("compiled", cells), _known("batched", cells)
    few = 2 * compiled <= batched
    return f"the compiled kernels know {compiled} of the {batched} operations that it computes" if few else None


def _known(kind: str, cells: Sequence[MixedEdges]) -> int:
    """How many operations on edges it computes, zeros left out."""
    found = [
        operation for edges in cells for fused in edges.fused(kind).values() if not fused.idle
        for of_edge in fused.operations for operation in of_edge
    ]  # fmt: skip
    return sum(type(operation) is not Zero for operation in found)


def _left(kind: str, cells: Sequence[MixedEdges]) -> list[str]:
    """Which operations are left to their modules, and on how many edges, in words; nothing if none is."""
    names: dict[str, None] = {}
    count = 0
    for edges in cells:
        for index, places in edges.left(edges.fused(kind)).items():
            edge = edges.edge(index)
            left = [place for place in places if type(edge.operations[place]) is not Zero]
            names.update((edge.primitives[place], None) for place in left)
            count += bool(left)
    total = sum(len(edges) for edges in cells)
    return [f"{count} of {total} edges partly by modules: {', '.join(names)}"] if names else []
