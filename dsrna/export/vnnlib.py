"""Robustness properties as VNN-LIB text, written and read back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from itertools import product
from math import prod
from typing import Any, Literal

from dsrna.errors import DataError
from dsrna.export.robustness_property import RobustnessProperty

Expression = str | list[Any]
Version = Literal["1.0", "2.0"]


def to_vnnlib(claim: RobustnessProperty, comment: str = "", version: Version = "1.0", shape: Sequence[int] = ()) -> str:
    """The property in VNN-LIB: satisfiable exactly where the image isn't robust.

    In version 1.0, as VNN-COMP used it, inputs are X_0, X_1, …, outputs (logits) Y_0, Y_1, …; in version 2.0,
    X[0, c, h, w] and Y[0, k], of the shapes that the ONNX file has.

    Args:
        claim: the property.
        comment: first lines of the file.
        version: of VNN-LIB.
        shape: (C, H, W) of the image, for version 2.0.
    """
    outputs, lines = range(claim.classes), [f"; {line}" for line in comment.splitlines()]
    if version == "2.0":
        inputs = [f"X[{','.join(map(str, place))}]" for place in product((0,), *map(range, shape))]
        logits, number = [f"Y[0,{index}]" for index in outputs], _with_point
        lines += [
            "(vnnlib-version <2.0>)",
            "(declare-network N",
            f"  (declare-input X Real [{','.join(map(str, (1, *shape)))}])",
            f"  (declare-output Y Real [1,{claim.classes}]))",
        ]
    else:
        inputs = [f"X_{index}" for index in range(len(claim.lower))]
        logits, number = [f"Y_{index}" for index in outputs], "{:f}".format
        lines += [f"(declare-const {name} Real)" for name in (*inputs, *logits)]
    for name, lower, upper in zip(inputs, claim.lower, claim.upper, strict=True):
        lines += [f"(assert (>= {name} {number(lower)}))", f"(assert (<= {name} {number(upper)}))"]
    others = " ".join(f"(and (>= {name} {logits[claim.label]}))" for name in logits if name != logits[claim.label])
    return "\n".join([*lines, f"(assert (or {others}))", ""])


def from_vnnlib(text: str) -> RobustnessProperty:
    """The property in a text of either version, which may be written in other ways than :func:`to_vnnlib` does.

    Args:
        text: VNN-LIB with one lower and one upper bound for every input, and one assertion about the outputs, that
            some Y_j >= Y_y or Y_y <= Y_j. In version 2.0, of one network with one input and one output, whose entries
            are taken in row-major order.

    Raises:
        DataError: it isn't such a text; the message names the place.
    """
    declared: set[str] = set()
    ends: dict[str, dict[str, Decimal]] = {">=": {}, "<=": {}}
    rivals: list[tuple[str, str]] = []
    for statement in _in_first_version(text):
        match statement:
            case ["declare-const", str(name), "Real"] if name not in declared:
                declared.add(name)
            case ["assert", [">=" | "<=" as sign, str(name), str(number)]] if name.startswith("X_"):
                if name in ends[sign]:
                    raise DataError(f"Expected one bound {sign} of {name}, got a second one: {_written(statement)}.")
                ends[sign][name] = _number(number)
            case ["assert", ["or", *choices]] if not rivals:
                rivals = [_rival(choice) for choice in choices]
            case ["assert", condition] if not rivals:
                rivals = [_rival(condition)]
            case _:
                raise DataError(f"Expected a robustness property in VNN-LIB, got {_written(statement)}.")
    inputs = [f"X_{index}" for index in range(sum(name.startswith("X_") for name in declared))]
    outputs = [f"Y_{index}" for index in range(len(declared) - len(inputs))]
    labels = {label for _, label in rivals}
    if declared != {*inputs, *outputs} or any(bounds.keys() != set(inputs) for bounds in ends.values()):
        raise DataError("Expected inputs X_0, X_1, …, each with both bounds, and outputs Y_0, Y_1, … in VNN-LIB.")
    if len(labels) != 1 or sorted(other for other, _ in rivals) != sorted(set(outputs) - labels) or not outputs:
        raise DataError(
            "Expected the rivals of one class, all others, each once, in VNN-LIB's assertion about outputs."
        )
    lower, upper = (tuple(ends[sign][name] for name in inputs) for sign in (">=", "<="))
    return RobustnessProperty(lower, upper, int(labels.pop()[2:]), len(outputs))


def _in_first_version(text: str) -> Iterator[Expression]:
    """The statements of a text, where those of version 2.0 are those of 1.0 that mean the same."""
    places: dict[str, str] = {}
    for statement in _statements(text):
        match statement:
            case ["vnnlib-version", "<2.0>"]:
                pass
            case [
                "declare-network",
                str(),
                ["declare-input", str(first), "Real" | "float32", str(inputs)],
                ["declare-output", str(last), "Real" | "float32", str(outputs)],
            ] if not places and first != last:
                places = _entries(first, inputs, "X", len(text)) | _entries(last, outputs, "Y", len(text))
                yield from (["declare-const", name, "Real"] for name in places.values())
            case _:
                yield _renamed(statement, places)


def _entries(variable: str, shape: str, plain: str, most: int) -> dict[str, str]:
    """``X[0,1]`` -> ``X_1`` for every entry of a tensor, of which a text has no more than ``most``.

    >>> _entries("in", "[1,2]", "X", 10)
    {'in[0,0]': 'X_0', 'in[0,1]': 'X_1'}
    """
    if not re.fullmatch(r"\[\d{1,9}(,\d{1,9})*\]", shape):
        raise DataError(f"Expected a shape such as [1,3,32,32] of {variable} in VNN-LIB, got {shape}.")
    sizes = [int(size) for size in shape[1:-1].split(",")]
    if not 1 <= prod(sizes) <= most:
        raise DataError(f"Expected bounds of all {prod(sizes)} entries of {variable} in VNN-LIB, got a shorter text.")
    every = product(*map(range, sizes))
    return {f"{variable}[{','.join(map(str, place))}]": f"{plain}_{index}" for index, place in enumerate(every)}


def _renamed(expression: Expression, places: dict[str, str]) -> Expression:
    if isinstance(expression, str):
        return places.get(expression, expression)
    return [_renamed(each, places) for each in expression]


def _rival(condition: Expression) -> tuple[str, str]:
    """(Y_j, Y_y) of the condition Y_j >= Y_y."""
    match condition:
        case ["and", inner]:
            return _rival(inner)
        case [">=", str(rival), str(label)] | ["<=", str(label), str(rival)] if rival[:2] == label[:2] == "Y_":
            return rival, label
    raise DataError(f"Expected (>= Y_j Y_y) in VNN-LIB, got {_written(condition)}.")


def _with_point(number: Decimal) -> str:
    """Real numbers of version 2.0 are written with a point."""
    text = f"{number:f}"
    return text if "." in text else f"{text}.0"


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise DataError(f"Expected a number in VNN-LIB, got {text}.") from None


def _statements(text: str) -> Iterator[Expression]:
    """The s-expressions of a text without comments; what stands in brackets is part of a name."""
    open_lists: list[list[Any]] = []
    for token in re.findall(r"[()]|(?:\[[^][()]*\]|[^\s()[])+", re.sub(r";[^\n]*", "", text)):
        token = re.sub(r"\s", "", token)
        if token == "(":
            open_lists.append([])
            continue
        if token == ")" and open_lists:
            done: Expression = open_lists.pop()
        elif token != ")" and open_lists:
            done = token
        else:
            raise DataError(f"Expected a statement in parentheses in VNN-LIB, got {token!r}.")
        if open_lists:
            open_lists[-1].append(done)
        else:
            yield done
    if open_lists:
        raise DataError(f"Expected VNN-LIB that is whole, got a text that ends inside {_written(open_lists[0])}.")


def _written(expression: Expression) -> str:
    return expression if isinstance(expression, str) else f"({' '.join(map(_written, expression))})"
