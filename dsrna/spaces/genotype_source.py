"""What a user may give where a genotype is wanted: a file, one entry of it, a published name, or the text itself."""

from __future__ import annotations

from pathlib import Path

from dsrna.errors import GenotypeError
from dsrna.spaces.darts.published import published
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.notation.reading import found, load, parse
from dsrna.spaces.search_space import SearchSpace


def read_genotype(source: str, space: SearchSpace | None = None) -> Genotype:
    """The genotype that ``source`` names or is.

    Args:
        source: ``FILE``, or ``FILE:NAME`` for one of several in it (see :func:`dsrna.spaces.notation.reading.parse`);
            the name of a published genotype, whatever its case and dashes; or a text in any notation. What exists as a
            file is read as one.
        space: the space to check against; None takes the space that fits.

    Raises:
        GenotypeError: there is no such file, entry or name, or the genotype is malformed or not of the space.
    """
    path = Path(source)
    if _exists(path):
        return load(path, space)
    file, colon, name = source.rpartition(":")
    if colon and _exists(Path(file)):
        return load(Path(file), space, name)
    if _has_entries(source):
        return parse(source, space)
    if path.suffix or path.name != source:
        return load(path, space)  # says that it isn't there
    genotype = published(source)
    if space is not None:
        space.check(genotype)
    return genotype


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a name, or with a null byte: a text
        return False


def _has_entries(text: str) -> bool:
    try:
        return bool(found(text))
    except GenotypeError:
        return False
