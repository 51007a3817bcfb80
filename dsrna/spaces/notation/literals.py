"""Values of literals in Python's or JSON's syntax, read from the syntax tree. Nothing is evaluated."""

from __future__ import annotations

import ast
import warnings
from typing import Any

from dsrna.errors import GenotypeError

_LONGEST_RANGE = 1000
_CONVERSIONS = {"list", "tuple", "int", "float", "str", "array", "tensor"}
_SCALARS = ("int", "uint", "float", "str_")
"""Calls around a literal that stand for it, by their last name, or by what a numpy scalar's begins with."""


def expression(source: str, line: int, place: str) -> ast.expr:
    """The syntax tree of an expression.

    Args:
        source: the expression's text.
        line: the line on which it begins, for messages.
        place: what it is, for messages.

    Raises:
        GenotypeError: it is no expression.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about how the text is written, such as 1and 2
            tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise GenotypeError(
            f"{place}: expected a genotype, got text that isn't ({reason}); is it truncated?"
        ) from error
    return ast.increment_lineno(tree, line - 1)


def literal(node: ast.expr, place: str) -> Any:
    """The value of a literal; lists, tuples and ranges all become lists, numpy's scalars plain numbers.

    Raises:
        GenotypeError: something in it is no literal; the message names the place and the line.
    """
    match node:
        case ast.Constant(value=value) if value is None or type(value) in (str, int, float):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.Name(id="null"):
            return None
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [literal(element, place) for element in elements]
        case ast.Call(func=ast.Name(id="range")):
            return _range(node, place)
        case ast.Call(func=ast.Name() | ast.Attribute() as function, args=[argument, *_]) if _converts(function):
            return literal(argument, place)
    raise GenotypeError(
        f"{place}: expected text, a number, a list, a tuple or range(…), got {shown(node)} (line {node.lineno})"
    )


def shown(node: ast.expr) -> str:
    """The source of an expression, cut to what a message holds."""
    text = ast.unparse(node)
    return text if len(text) <= 60 else text[:57] + "…"


def _converts(function: ast.Name | ast.Attribute) -> bool:
    name = function.id if isinstance(function, ast.Name) else function.attr
    return name in _CONVERSIONS or (isinstance(function, ast.Attribute) and name.startswith(_SCALARS))


def _range(node: ast.Call, place: str) -> list[int]:
    bounds = [literal(argument, place) for argument in node.args]
    well_formed = 1 <= len(bounds) <= 3 and all(type(bound) is int for bound in bounds) and not node.keywords
    if not well_formed or bounds[2:] == [0] or len(range(*bounds)) > _LONGEST_RANGE:
        raise GenotypeError(f"{place}: expected a short range(start, stop), got {shown(node)} (line {node.lineno})")
    return list(range(*bounds))
