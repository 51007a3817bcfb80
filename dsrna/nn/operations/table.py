"""Genotype name -> what builds an operation, found wherever it is defined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from typing import TypeVar

from torch import nn

from dsrna.errors import ConfigError

OperationBuilder = Callable[[int, int, int, bool], nn.Module]
"""(channels_in, channels_out, stride, affine) -> module; stride is 1 or 2."""

GROUP = "dsrna.operations"
Builder = TypeVar("Builder", bound=OperationBuilder)

_registered: dict[str, OperationBuilder] = {}


def operation(name: str) -> Callable[[Builder], Builder]:
    """Puts a class or function ``(channels_in, channels_out, stride, affine)`` into the table.

    Args:
        name: the name that genotypes carry.

    Raises:
        ConfigError: another operation has the name.
    """

    def register(builder: Builder) -> Builder:
        known = _registered.setdefault(name, builder)
        if (known.__module__, known.__qualname__) != (builder.__module__, builder.__qualname__):
            raise ConfigError(f"Expected a new name for {builder}, got {name!r}, which is that of {known}.")
        return builder

    return register


class _Table(Mapping[str, OperationBuilder]):
    """The operations of this package, those that were registered since, and those of other packages' entry points."""

    def __getitem__(self, name: str) -> OperationBuilder:
        _load_own()
        if name not in _registered and name in _of_packages():
            return _of_packages()[name].load()
        return _registered[name]

    def __iter__(self) -> Iterator[str]:
        _load_own()
        return iter(dict.fromkeys([*_registered, *_of_packages()]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        _load_own()
        return name in _registered or name in _of_packages()


OPERATIONS = _Table()
"""Genotype name -> constructor."""


@cache
def _load_own() -> None:
    for module in sorted(iter_modules(import_module("dsrna.nn.operations").__path__), key=_published_first):
        import_module(f"dsrna.nn.operations.{module.name}")


def _published_first(module: object) -> tuple[bool, str]:
    name = getattr(module, "name", "")
    return name != "published", name


@cache
def _of_packages() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
