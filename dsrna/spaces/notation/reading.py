"""Genotypes from text and from files, in whichever notation they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from dsrna.errors import GenotypeError
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.genotype_codec import LONGEST_TEXT, from_json, read_text
from dsrna.spaces.names import unknown_name
from dsrna.spaces.notation import (
    architecture_strings,
    calls,
    mappings,
    naslib_indices,
    own_json,
    published_index,
    robbench_digits,
)
from dsrna.spaces.notation.entry import Entry
from dsrna.spaces.notation.source_text import without_comments
from dsrna.spaces.search_space import SearchSpace

NOTATIONS: tuple[Callable[[str], Sequence[Entry]], ...] = (
    mappings.entries,
    own_json.entries,
    calls.entries,
    architecture_strings.entries,
    naslib_indices.entries,
    robbench_digits.entries,
    published_index.entries,
)
"""In the order in which they are tried: what names itself first, then what is nothing but numbers."""

_MOST_COMPARED = 1000
_MOST_LISTED = 30
_EXPECTED = (
    'a genotype: the JSON of a genotype.json, Genotype(normal=[…], normal_concat=…, …), {"normal": […], '
    '"normal_concat": …, …}, |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, or an index, digits or indices of NAS-Bench-201'
)


def parse(text: str, space: SearchSpace | None = None, name: str | None = None) -> Genotype:
    """The genotype in a text. Nothing in the text is ever executed.

    Args:
        text: see :data:`NOTATIONS` for what is read.
        space: the space to check against; None takes the space that fits.
        name: which of several, by the name it is assigned to, whatever its case and dashes, or by the line on which
            it begins.

    Raises:
        GenotypeError: there is none, or there are several and ``name`` is none of theirs; or the one is malformed,
            truncated, or not of the space.

    >>> parse("TINY = Genotype(normal=[('skip_connect', 0), ('skip_connect', 1)], normal_concat=[2], "
    ...       "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1)], reduce_concat=[2])").cells["reduce"].nodes
    ((('max_pool_3x3', 0), ('max_pool_3x3', 1)),)
    """
    return from_json(_chosen(found(text), name).read(), space)


def load(path: Path, space: SearchSpace | None = None, name: str | None = None) -> Genotype:
    """The genotype in a file, see :func:`parse`.

    Raises:
        GenotypeError: the file is missing, unreadable, no ordinary one or no text, or as in :func:`parse`; the message
            names the file.
    """
    try:
        return parse(read_text(path), space, name)
    except GenotypeError as error:
        raise GenotypeError(f"{path}: {error}") from error


def found(text: str) -> Sequence[Entry]:
    """What the first notation that finds something in the text finds; in comments only where nothing else is.

    Raises:
        GenotypeError: none does, or the text is too long.
    """
    if len(text) > LONGEST_TEXT:
        raise GenotypeError(f"Expected a genotype, got a text of more than {LONGEST_TEXT} characters.")
    for visible in (without_comments(text), text):
        for entries in NOTATIONS:
            if there := entries(visible):
                return there
    raise GenotypeError(f"Expected {_EXPECTED}; got {_shown(text)}.")


def plain_name(name: str) -> str:
    """A name without what people write differently: its case, dashes, dots and blanks.

    >>> plain_name("PC-DARTS") == plain_name("Pc_Darts")
    True
    """
    return re.sub(r"[\W_]+", "", name).lower()


def _chosen(entries: Sequence[Entry], name: str | None) -> Entry:
    if name is None:
        if _all_alike(entries):
            return entries[0]
        raise GenotypeError(f"Expected one genotype, found {len(entries)}. Say which, as FILE:NAME: {_listed(entries)}")
    for matches in (
        [entry for entry in entries if name == entry.name],
        [entry for entry in entries if entry.name is not None and plain_name(name) == plain_name(entry.name)],
        [entry for entry in entries if name == str(entry.line)],
    ):
        if matches and _all_alike(matches):
            return matches[0]
        if matches:
            raise GenotypeError(
                f"Expected one genotype of the name {name}, found {len(matches)}. Say which by its line, as "
                f"FILE:LINE: {_listed(matches)}"
            )
    named = list(dict.fromkeys(entry.name for entry in entries if entry.name is not None))
    raise GenotypeError(unknown_name("genotype", name, named or [str(entry.line) for entry in entries]))


def _all_alike(entries: Sequence[Entry]) -> bool:
    """Whether it makes no difference which one is read."""
    if len(entries) == 1:
        return True
    if len(entries) > _MOST_COMPARED:
        return False
    try:
        first = entries[0].read()
        return all(entry.read() == first for entry in entries[1:])
    except GenotypeError:
        return False


def _listed(entries: Sequence[Entry]) -> str:
    counts = [entry.name for entry in entries]
    labels = [
        entry.name if entry.name is not None and counts.count(entry.name) == 1 else f"{entry.line}"
        for entry in entries[:_MOST_LISTED]
    ]
    more = f", … ({len(entries) - _MOST_LISTED} more)" if len(entries) > _MOST_LISTED else ""
    return ", ".join(labels) + more


def _shown(text: str) -> str:
    stripped = text.strip()
    if not stripped:
        return "nothing"
    return repr(stripped if len(stripped) <= 80 else stripped[:79] + "…")
