"""Whether plain values, as YAML and JSON give them, are what a type annotation says."""

from __future__ import annotations

import inspect
import math
import sys
import types
import typing
from collections import abc
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal, NotRequired, Required, Union

_LIMIT = 2**63
_WRAPPERS = (NotRequired, Required, typing.Annotated)
_LISTS = (list, tuple, set, frozenset, abc.Sequence, abc.Iterable, abc.Collection)
_MAPPINGS = (dict, abc.Mapping, abc.MutableMapping)
_LEAVES = (str, bool)
_IN_WORDS = {bool: "true or false", str: "text", type(None): "null", Path: "a path"}


def misfit(value: Any, expected: Any, place: str = "") -> tuple[str, str] | None:
    """The first place at which a value isn't what an annotation says.

    A whole number is one that 64 bits hold; a number is finite; text and true are no numbers; a list will do for a
    tuple or any other sequence; a mapping that stands for a TypedDict may hold more keys. An annotation that says
    nothing about plain values fits all of them.

    Args:
        value: the value.
        expected: the annotation, resolved (no text).
        place: the value's own place.

    Returns:
        The place, and what was expected and came there; None where the value fits.

    >>> misfit({"a": [1, "x"]}, dict[str, list[int]], "here")
    ('here.a.1', "Expected a whole number, got 'x'")
    """
    if type(value) is expected and (expected in _LEAVES or (expected is float and math.isfinite(value))):
        return None  # most of a document
    fits = _inner(value, expected, place)
    if fits is not None:
        return fits
    return None if _fits(value, expected) else (place, f"Expected {type_text(expected)}, got {shown(value)}")


def type_text(expected: Any) -> str:
    """An annotation as a user would say it.

    >>> type_text(int | None), type_text(Literal["a", "b"]), type_text(list[float])
    ('a whole number or null', "'a' or 'b'", 'a list')
    """
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if expected is int:
        return "a whole number"
    if expected is float:
        return "a finite number"
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_text(each) for each in arguments))
    if origin in _LISTS or expected in _LISTS:
        return "a list"
    if origin in _MAPPINGS or expected in _MAPPINGS or typing.is_typeddict(expected):
        return "a mapping"
    return _IN_WORDS.get(expected) or str(getattr(expected, "__name__", expected))


def shown(value: Any) -> str:
    """A value in a message, not longer than a line."""
    text = "null" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def choices_of(expected: Any) -> list[str]:
    """The texts that an annotation lists."""
    arguments = typing.get_args(expected)
    if typing.get_origin(expected) is Literal:
        return [each for each in arguments if isinstance(each, str)]
    return [choice for each in arguments for choice in choices_of(each)]


@cache
def hints_of(target: Callable[..., Any]) -> dict[str, Any]:
    """Argument -> annotation of a class's or function's signature; those that can't be resolved are left out."""
    function: Any = target
    names: dict[str, Any] = {}
    if inspect.isclass(target):
        function = target.__new__ if target.__init__ is object.__init__ else target.__init__
        for base in reversed(target.__mro__):  # a dataclass takes arguments that modules of its bases annotate
            names |= getattr(sys.modules.get(base.__module__), "__dict__", {})
    names |= getattr(inspect.unwrap(function), "__globals__", {})
    found = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        alone = types.SimpleNamespace(__annotations__={name: annotation})
        with suppress(NameError, TypeError, AttributeError, SyntaxError):
            found[name] = typing.get_type_hints(alone, names)[name]
    return found


@cache
def _entries(expected: Any) -> dict[str, Any]:
    """Of a TypedDict; its own ``__required_keys__`` are wrong where annotations are texts."""
    return typing.get_type_hints(expected, include_extras=True)


def _is_optional(hint: Any) -> bool:
    return typing.get_origin(hint) is NotRequired


def _fits(value: Any, expected: Any) -> bool:
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (Union, types.UnionType):
        return any(misfit(value, each) is None for each in arguments)
    if origin in _WRAPPERS:
        return _fits(value, arguments[0])
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in arguments)
    if expected is int:
        return type(value) is int and -_LIMIT <= value < _LIMIT
    if expected is float:
        return type(value) in (int, float) and math.isfinite(value)
    if expected is bool or expected is str:
        return isinstance(value, expected)
    if expected is None or expected is type(None):
        return value is None
    if origin in _LISTS or expected in _LISTS:
        return isinstance(value, list | tuple)
    if origin in _MAPPINGS or expected in _MAPPINGS or typing.is_typeddict(expected):
        return isinstance(value, dict)
    if expected is Path:
        return isinstance(value, str | Path)
    if origin is abc.Callable or expected is abc.Callable:
        return callable(value)
    says_something = isinstance(expected, type) and expected is not Any and not getattr(expected, "_is_protocol", False)
    return isinstance(value, expected) if says_something else True


def _inner(value: Any, expected: Any, place: str) -> tuple[str, str] | None:
    """The same inside of a list or a mapping of the right kind."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in _WRAPPERS:
        return misfit(value, arguments[0], place)
    if origin in (Union, types.UnionType) and isinstance(value, dict | list):
        inner = [misfit(value, each, place) for each in arguments if _fits(value, each)]
        return None if None in inner or not inner else inner[0]
    inside: list[tuple[Any, Any, Any]] = []
    if typing.is_typeddict(expected) and isinstance(value, dict):
        hints = _entries(expected)
        missing = next((key for key in hints if key not in value and not _is_optional(hints[key])), None)
        if missing is not None:
            return place, f"Expected an entry {missing!r}, got {shown(list(value))}"
        inside = [(key, value[key], hint) for key, hint in hints.items() if key in value]
    elif origin in _MAPPINGS and arguments and isinstance(value, dict):
        inside = [(key, item, arguments[1]) for key, item in value.items()]
    elif origin is tuple and arguments and arguments[-1] is not ... and isinstance(value, list | tuple):
        if len(value) != len(arguments):
            return place, f"Expected {len(arguments)} values, got {shown(value)}"
        inside = [(index, item, hint) for index, (item, hint) in enumerate(zip(value, arguments, strict=True))]
    elif origin in _LISTS and arguments and isinstance(value, list | tuple):
        inside = [(index, item, arguments[0]) for index, item in enumerate(value)]
    for name, item, hint in inside:
        found = misfit(item, hint, f"{place}.{name}" if place else str(name))
        if found is not None:
            return found
    return None
