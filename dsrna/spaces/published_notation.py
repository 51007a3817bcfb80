"""The notation of published genotypes, ``Genotype(normal=[('sep_conv_3x3', 1), …], normal_concat=range(2, 6), …)``.

The text is parsed into a syntax tree of which only literals and ``range(…)`` are read; nothing is evaluated.
"""

from __future__ import annotations

import ast
from typing import Any

from dsrna.errors import GenotypeError

_CONCAT = "_concat"
_OPERATIONS_PER_NODE = 2
_LONGEST_RANGE = 1000


def read_published_notation(text: str) -> dict[str, Any]:
    """The cells of a genotype in published notation, as the entry ``cells`` of a genotype's JSON form.

    Accepts ``Genotype(…)`` and ``NAME = Genotype(…)`` over any number of lines, with lists, tuples or ``range(…)``.
    The flat list of operations is cut into nodes of two operations each.

    Args:
        text: the text, with one genotype in it.

    Raises:
        GenotypeError: the text isn't of this form; the message names the cell, or the line.
    """
    try:
        entries = {name: _literal(node, name) for name, node in _keywords(text).items()}
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise GenotypeError(
            f"Expected JSON or Genotype(normal=[…], normal_concat=…, …), got text that isn't ({error}); "
            "is it truncated?"
        ) from error
    cell_types = [name for name in entries if not name.endswith(_CONCAT)]
    return {
        cell_type: {"nodes": _nodes(entries[cell_type], cell_type), "concat": entries.get(cell_type + _CONCAT)}
        for cell_type in cell_types
    }


def _keywords(text: str) -> dict[str, ast.expr]:
    """The keyword arguments of the one Genotype(…) in the text."""
    statements = ast.parse(text.strip()).body
    if len(statements) != 1 or not isinstance(statements[0], ast.Expr | ast.Assign):
        raise GenotypeError(f"Expected one Genotype(…), or NAME = Genotype(…), got {len(statements)} statements.")
    call = statements[0].value
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Genotype"):
        raise GenotypeError(f"Expected Genotype(…), got {_source(call)}")
    if call.args:
        raise GenotypeError(f"Genotype(…): expected keyword arguments alone, got {_source(call.args[0])}")
    keywords: dict[str, ast.expr] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise GenotypeError(f"Genotype(…): expected NAME=…, got **{_source(keyword.value)}")
        keywords[keyword.arg] = keyword.value
    return keywords


def _literal(node: ast.expr, place: str) -> Any:
    """The value of a literal; lists, tuples and ranges all become lists."""
    if isinstance(node, ast.Constant) and type(node.value) in (str, int):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(element, place) for element in node.elts]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        return _range(node, place)
    raise GenotypeError(
        f"{place}: expected text, a whole number, a list, a tuple or range(…), got {_source(node)} (line {node.lineno})"
    )


def _range(node: ast.Call, place: str) -> list[int]:
    bounds = [_literal(argument, place) for argument in node.args]
    well_formed = 1 <= len(bounds) <= 3 and all(type(bound) is int for bound in bounds) and not node.keywords
    if not well_formed or bounds[2:] == [0] or len(range(*bounds)) > _LONGEST_RANGE:
        raise GenotypeError(f"{place}: expected a short range(start, stop), got {_source(node)} (line {node.lineno})")
    return list(range(*bounds))


def _nodes(operations: Any, place: str) -> Any:
    if not isinstance(operations, list):
        return operations  # the reader of the JSON form refuses it, with its place
    if len(operations) % _OPERATIONS_PER_NODE:
        raise GenotypeError(
            f"{place}: expected {_OPERATIONS_PER_NODE} operations for each node, got {len(operations)} operations"
        )
    return [operations[i : i + _OPERATIONS_PER_NODE] for i in range(0, len(operations), _OPERATIONS_PER_NODE)]


def _source(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else text[:57] + "…"
