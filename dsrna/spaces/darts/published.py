"""Published genotypes of DARTS-like spaces, with where each comes from (``published.json`` beside this file).

A genotype is a fact; each was read from the named file of a public repository, under the licence that the repository
states, and no code was taken.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dsrna.errors import GenotypeError
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.names import unknown_name
from dsrna.spaces.notation.reading import parse, plain_name


@dataclass(frozen=True)
class PublishedSize:
    """A number of parameters as printed.

    Attributes:
        millions: as printed; rounded, or cut off.
        counted: "without the auxiliary head" or "with the auxiliary head", as the number itself shows.
        where: where it is printed.
    """

    millions: str
    counted: str
    where: str


@dataclass(frozen=True)
class PublishedGenotype:
    """A genotype and where it comes from.

    Attributes:
        name: its name here.
        also: what it is called elsewhere; found too.
        paper: who published it, and what they searched on.
        source: repository: file: name in it.
        licence: of that repository.
        text: it, in published notation.
        parameters: of its network of 20 cells and 36 channels for CIFAR-10; None where the sources print none.
    """

    name: str
    also: tuple[str, ...]
    paper: str
    source: str
    licence: str
    text: str
    parameters: PublishedSize | None = None


def published(name: str) -> Genotype:
    """A published genotype by its name, whatever its case and dashes.

    Raises:
        GenotypeError: there is none of that name.

    >>> published("darts-v2").cells["normal"].nodes[0]
    (('sep_conv_3x3', 0), ('sep_conv_3x3', 1))
    """
    found = _by_plain_name().get(plain_name(name))
    if found is None:
        raise GenotypeError(unknown_name("published genotype", name[:80], PUBLISHED))
    return parse(found.text)


def _read(entry: dict[str, Any]) -> PublishedGenotype:
    size = entry.get("parameters")
    return PublishedGenotype(
        name=entry["name"],
        also=tuple(entry["also"]),
        paper=entry["paper"],
        source=entry["source"],
        licence=entry["licence"],
        text=entry["genotype"],
        parameters=PublishedSize(**size) if size else None,
    )


PUBLISHED: dict[str, PublishedGenotype] = {
    entry["name"]: _read(entry) for entry in json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
}
"""Name -> published genotype."""


@cache
def _by_plain_name() -> dict[str, PublishedGenotype]:
    return {plain_name(name): entry for entry in PUBLISHED.values() for name in (*entry.also, entry.name)}
