"""Checking where images come from, before anything is read."""

from __future__ import annotations

import inspect
from typing import Any

from dsrna.config.parts import build_part, check_part, target_of
from dsrna.config.settings import DataSettings
from dsrna.errors import ConfigError

INJECTED = ("root", "download")
"""Keys of ``data`` that a source gets where it takes them."""

_TABLES_OF = "nasbench201"


def check_source(data: DataSettings, space: Any) -> None:
    """Checks the source's node, and that somebody reads ``data.root`` where it is given.

    Args:
        data: the settings.
        space: the search space's node; there are published tables of one, which are looked for in the data root.

    Raises:
        ConfigError: an argument is unknown or missing, or nothing is looked for in the data root.
    """
    check_part(data.source, "data.source", *INJECTED)
    takes = inspect.signature(target_of(data.source, "data.source")).parameters
    if data.root is None or "root" in takes or build_part(space, "space").name == _TABLES_OF:
        return
    name = data.source["_target_"].rpartition(".")[2]
    raise ConfigError(
        f"`{name}` reads nothing from a data root, and there are no published tables of this search space to look for "
        f"in {data.root}: leave it out, or say data.root=null. (conf: data.root)"
    )
