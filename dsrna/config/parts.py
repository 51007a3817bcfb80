"""Building parts: a config node with a ``_target_`` becomes an object, and a wrong key becomes a clear error."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from dsrna.config.kinds import check_kind
from dsrna.conforming import choices_of, hints_of, misfit
from dsrna.errors import ConfigError, DsrnaError

FRACTION = re.compile(r"^\s*([0-9.]+)\s*/\s*([0-9.]+)\s*$")


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
    if isinstance(value, str) and (match := FRACTION.match(value)) and float(match[2]) != 0:
        return float(match[1]) / float(match[2])
    if misfit(value, float) is not None:
        raise ConfigError(f"Expected a number or a fraction such as 8/255, got {value!r}. (conf: {where})")
    return float(value)


def with_fractions(value: Any) -> Any:
    """The same node with every text such as ``8/255`` as a number."""
    if isinstance(value, dict):
        return {key: with_fractions(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_fractions(item) for item in value]
    if isinstance(value, str) and FRACTION.match(value):
        return number(value, "")
    return value


def target_of(node: Any, where: str) -> Callable[..., Any]:
    """The class or function that a node's ``_target_`` names.

    Raises:
        ConfigError: there is no ``_target_``, it can't be imported, or is not of the kind that belongs there.
    """
    if not isinstance(node, dict) or not isinstance(node.get("_target_"), str):
        raise ConfigError(f"Expected a node with a `_target_`, got {node!r}. (conf: {where})")
    module, _, name = node["_target_"].rpartition(".")
    try:
        target = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"Can't import `{node['_target_']}`: {error}. (conf: {where}._target_)") from error
    if not callable(target):
        raise ConfigError(f"`{node['_target_']}` is not a class or function. (conf: {where}._target_)")
    check_kind(target, where)
    return target


def check_part(node: Any, where: str, *injected: str) -> None:
    """Checks that a node's keys are arguments of its target, and their values of its types, without calling it.

    Args:
        node: the config node.
        where: its key, for messages.
        injected: names of the arguments that the caller will add.

    Raises:
        ConfigError: an argument is unknown, missing, the caller's, or of another type than the target says.
    """
    target = target_of(node, where)
    given = [key for key in node if key != "_target_"]
    parameters = inspect.signature(target).parameters
    for key in given:
        if key in injected:
            raise ConfigError(f"`{key}` is dsrna's to give: leave it out. (conf: {where}.{key})")
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for key in given:
        if key not in parameters:
            choice = ", ".join(name for name in parameters if name not in injected)
            raise ConfigError(
                f"`{node['_target_'].rpartition('.')[2]}` has no setting `{key}`.{nearest(key, parameters)} "
                f"It takes: {choice}. (conf: {where}.{key})"
            )
    for name, parameter in parameters.items():
        needed = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
        if needed and name not in given and name not in injected:
            raise ConfigError(f"`{node['_target_'].rpartition('.')[2]}` needs `{name}`. (conf: {where}.{name})")
    hints = hints_of(target)
    for key in given:
        value, hint = node[key], hints.get(key, Any)
        found = misfit(value, hint)
        if found is not None:
            close = nearest(value, choices_of(hint)) if isinstance(value, str) else ""
            raise ConfigError(f"{found[1]}.{close} (conf: {where}.{key})")


def build_part(node: Any, where: str, **injected: Any) -> Any:
    """Builds the part that a node describes: its ``_target_`` called with its other keys and ``injected``.

    Raises:
        ConfigError: the node is wrong, or the part refuses a value; the message names the config key.
    """
    check_part(node, where, *injected)
    target = target_of(node, where)
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    with located(where, arguments):
        try:
            return target(**arguments, **injected)
        except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise ConfigError(f"{node['_target_']}: {error} (conf: {where})") from error


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
        text = str(error)
        named = re.search(r"\(conf: (\w+)\)", text)
        if named is not None and named[1] in arguments:
            raise type(error)(text.replace(named[0], f"(conf: {where}.{named[1]})")) from error
        if "(conf:" not in text:
            raise type(error)(f"{text} (conf: {where})") from error
        raise
