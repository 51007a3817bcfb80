"""Building parts: a config node with a ``_target_`` becomes an object, and a wrong key becomes a clear error."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from dsrna.conforming import choices_of, hints_of, misfit, shown
from dsrna.errors import ConfigError, DsrnaError

_FRACTION = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*/\s*(\d+\.?\d*|\.\d+)\s*", re.ASCII)
_KEY = re.compile(r"\(conf: ([\w.]+)\)")


def nearest(name: str, known: Iterable[str]) -> str:
    """`` Did you mean `x`?`` for the known name most like ``name``, or an empty string.

    >>> nearest("jacobain", ["none", "jacobian"])
    ' Did you mean `jacobian`?'
    """
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean `{found[0]}`?" if found else ""


def number(value: Any, where: str) -> float:
    """A number, or a fraction written as text, as people write eps.

    >>> round(number("8/255", "threat.eps"), 6)
    0.031373
    """
    value = _quotient(value)
    if misfit(value, float) is not None:
        raise _wrong(f"Expected a number or a fraction such as 8/255, got {shown(value)}.", where)
    return float(value)


def with_fractions(value: Any) -> Any:
    """The same node with every text such as ``8/255`` as a number."""
    if isinstance(value, dict):
        return {key: with_fractions(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_fractions(item) for item in value]
    return _quotient(value)


def _quotient(value: Any) -> Any:
    """The number that a fraction stands for; any other value as it is."""
    match = _FRACTION.fullmatch(value) if isinstance(value, str) else None
    return float(match[1]) / float(match[2]) if match and float(match[2]) != 0 else value


def target_of(node: Any, where: str, kind: str | None = None) -> Callable[..., Any]:
    """The class or function that a node's ``_target_`` names.

    Args:
        node: the config node.
        where: its key, for messages; empty where the caller says it.
        kind: name of the class that a class at this place has to be derived from; None: anything that can be called.

    Raises:
        ConfigError: there is no ``_target_``, it can't be imported, or is not of the kind.
    """
    if isinstance(node, dict) and node and "_target_" not in node:
        raise _wrong(
            f"`{next(iter(node))}` is a setting of a part that isn't there or was switched off: choose one, name its "
            "`_target_`, or leave that out.",
            where,
        )
    if not isinstance(node, dict) or not isinstance(node.get("_target_"), str):
        raise _wrong(f"Expected a node with a `_target_`, got {node!r}.", where)
    module, _, name = node["_target_"].rpartition(".")
    try:
        target = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise _wrong(f"Can't import `{node['_target_']}`: {error}.", where, "_target_") from error
    if not callable(target):
        raise _wrong(f"`{node['_target_']}` is not a class or function.", where, "_target_")
    lineage = [f"{base.__module__}.{base.__qualname__}" for base in getattr(target, "__mro__", ())]
    if kind is not None and kind not in lineage:
        raise _wrong(f"Expected a class derived from {kind}, got {node['_target_']}.", where, "_target_")
    return target


def check_part(node: Any, where: str, *injected: str, kind: str | None = None) -> None:
    """Checks that a node's keys are arguments of its target, and their values of its types, without calling it.

    Args:
        node, where, kind: as for :func:`target_of`.
        injected: names of the arguments that the caller will add.

    Raises:
        ConfigError: an argument is unknown, missing, the caller's, or of another type than the target says.
    """
    target = target_of(node, where, kind)
    name = node["_target_"].rpartition(".")[2]
    given = [key for key in node if key != "_target_"]
    parameters = inspect.signature(target).parameters
    for key in given:
        if key in injected:
            raise _wrong(f"`{key}` is dsrna's to give: leave it out.", where, key)
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for key in given:
        if key not in parameters:
            choice = ", ".join(name for name in parameters if name not in injected) or "none"
            close = nearest(key, parameters)
            raise _wrong(f"`{name}` has no setting `{key}`.{close} It takes: {choice}.", where, key)
    for key, parameter in parameters.items():
        needed = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
        if needed and key not in given and key not in injected:
            raise _wrong(f"`{name}` needs `{key}`.", where, key)
    hints = hints_of(target)
    for key in given:
        value, hint = node[key], hints.get(key, Any)
        found = misfit(value, hint)
        if found is not None:
            close = nearest(value, choices_of(hint)) if isinstance(value, str) else ""
            raise _wrong(f"{found[1]}.{close}", where, key)


def build_part(
    node: Any,
    where: str,
    *,
    kind: str | None = None,
    remade: Callable[[Any], Callable[..., Any]] = lambda target: target,
    **injected: Any,
) -> Any:
    """Builds the part that a node describes: its ``_target_`` called with its other keys and ``injected``.

    Nodes with a ``_target_`` in it are built first. ``remade(target)`` is called in the place of the target.

    Raises:
        ConfigError: the node is wrong, or the part refuses a value; the message names the config key.
    """
    target = target_of(node, where, kind)
    arguments = {key: _with_parts(value, _joined(where, key)) for key, value in node.items() if key != "_target_"}
    check_part({"_target_": node["_target_"]} | arguments, where, *injected)
    with located(where, inspect.signature(target).parameters):
        try:
            return remade(target)(**arguments, **injected)
        except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise ConfigError(f"{node['_target_']}: {error}") from error


@contextmanager
def located(where: str, arguments: Iterable[str] = ()) -> Iterator[None]:
    """Gives errors in the block their config key: ``where``, below which an argument that they name stands.

    >>> with located("objective", ["steps"]):
    ...     raise ConfigError("Expected at least 1, got 0. (conf: steps)")
    Traceback (most recent call last):
    dsrna.errors.ConfigError: Expected at least 1, got 0. (conf: objective.steps)
    """
    try:
        yield
    except DsrnaError as error:
        text = placed(str(error), where, arguments)
        if text != str(error):
            raise type(error)(text) from error
        raise


def placed(text: str, where: str, arguments: Iterable[str] | None = None) -> str:
    """A message with its key: ``where``, below which an argument that it names stands; None: any key is one."""
    named = _KEY.search(text)
    if not where or (named is not None and f"{named[1]}.".startswith(f"{where}.")):
        return text
    if named is not None and (arguments is None or named[1].partition(".")[0] in arguments):
        return text.replace(named[0], f"(conf: {where}.{named[1]})")
    return text if "(conf:" in text else f"{text} (conf: {where})"


def _with_parts(value: Any, where: str) -> Any:
    """The value, where every node with a ``_target_`` is the part that it describes."""
    if isinstance(value, dict):
        if "_target_" in value:
            return build_part(value, where)
        return {key: _with_parts(item, _joined(where, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_parts(item, _joined(where, str(index))) for index, item in enumerate(value)]
    return value


def _joined(*keys: str) -> str:
    return ".".join(filter(None, keys))


def _wrong(text: str, *keys: str) -> ConfigError:
    key = _joined(*keys)
    return ConfigError(f"{text} (conf: {key})" if key else text)
