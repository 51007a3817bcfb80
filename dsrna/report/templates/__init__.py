"""The pages' templates, and how they are filled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def render(template: str, **context: Any) -> str:
    """The page ``template`` filled with ``context``: escaped; a name that isn't given is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(context)


def script(name: str) -> str:
    """A script that a page carries in itself; it is allowed by its hash."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
