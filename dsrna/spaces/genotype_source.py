"""What a user may give where a genotype is wanted: a file, one entry of it, a published name, or the text itself."""

from __future__ import annotations

from pathlib import Path

from dsrna.errors import GenotypeError
from dsrna.spaces.darts.published import published
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.notation.reading import found, load, parse


def read_genotype(source: str) -> Genotype:
    """The genotype that ``source`` names or is, checked against the space that fits it.

    Args:
        source: ``FILE``, or ``FILE:NAME`` for one of several in it (see :func:`dsrna.spaces.notation.reading.parse`);
            the name of a published genotype, whatever its case and dashes; or a text in any notation. What exists as a
            file is read as one.

    Raises:
        GenotypeError: there is no such file, entry or name, or the genotype is malformed or not of its space.
    """
    if (path := existing(source)) is not None:
        return load(path)
    file, _, name = source.rpartition(":")
    if file and (path := existing(file)) is not None:
        return load(path, name=name)
    if _has_entries(source):
        return parse(source)
    path = Path(source)
    if path.suffix or path.name != source:
        return load(path)  # says that it isn't there
    return published(source)


def existing(source: str) -> Path | None:
    """The path that a text is, if there is something; a text that is a genotype itself may be too long to be one."""
    try:
        return Path(source) if Path(source).exists() else None
    except (OSError, ValueError):  # too long for a name, or with a null byte
        return None


def _has_entries(text: str) -> bool:
    try:
        return bool(found(text))
    except GenotypeError:
        return False
