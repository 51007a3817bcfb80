"""Modules that are run by ``python -m`` and have the name of a function of the package."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from dsrna.importing import importing


class EntryModule(ModuleType):
    """``dsrna.search`` is the function until somebody imports the module of that name, which Python then puts in its
    place; so the module can be called as well.
    """

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        from dsrna import api

        return getattr(api, self.__name__.rpartition(".")[2])(*arguments, **named)


def begin(name: str, command: str) -> None:
    """Runs a command where its module is run by ``python -m``; else lets the module be called as the function.

    Args:
        name: the module's ``__name__``.
        command: the command's.
    """
    if name == "__main__":
        with importing():
            from dsrna.commands import main_of

        main_of(command)
    else:
        make_callable(name)


def make_callable(name: str) -> None:
    """Lets the module of that name be called as the function."""
    sys.modules[name].__class__ = EntryModule
