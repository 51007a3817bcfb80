"""Which cells of NAS-Bench-201 count as the same network."""

from __future__ import annotations

from collections.abc import Sequence

from dsrna.spaces.nasbench201.topology import NODES

_INPUT = "x"
_ZERO = "#"


def canonical_form(operations: Sequence[str]) -> str:
    """A text that is equal for two cells exactly when the benchmark counts them as isomorphic.

    Every node gets the text of its value: ``x`` for the input, ``#`` for zeros, ``(t)op`` for an operation on a value
    t, and for a sum the texts of its terms in alphabetical order. skip_connect hands its text on, none gives ``#``.
    The cell's form is its output's text.

    The published classes rest on texts, not on functions, and so does this form: zeros stay in a sum as terms, and the
    terms of a sum inside a sum stay together. Some cells that compute the same function are therefore in different
    classes, and were trained apart. The order of terms decides, too, so that operation names must follow their value.

    Args:
        operations: six names, in the order of :data:`~dsrna.spaces.nasbench201.topology.EDGES`.

    >>> canonical_form(["skip_connect", "nor_conv_3x3", "none", "none", "none", "skip_connect"])
    '#+#+#+(x)nor_conv_3x3'

    Source: the published map of 15,625 cells to 6,466 classes; Dong and Yang, NAS-Bench-201 (ICLR 2020), section 2.1.
    """
    texts = [_INPUT]
    remaining = iter(operations)
    for _ in range(NODES):
        texts.append("+".join(sorted([_term(next(remaining), text) for text in texts])))
    return texts[-1]


def _term(operation: str, text: str) -> str:
    if operation == "none" or text == _ZERO:
        return _ZERO
    return text if operation == "skip_connect" else f"({text}){operation}"
