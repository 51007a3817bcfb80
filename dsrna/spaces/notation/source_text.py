"""Where an expression begins and ends in a text that need be no program: a log, a paper's listing, a released file."""

from __future__ import annotations

import re

from dsrna.errors import GenotypeError

_CLOSING = {"(": ")", "[": "]", "{": "}"}
_TOKEN = re.compile(r"[\[\](){}]|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"")
_DEEPEST = 12
_LONGEST = 100_000
_NAME = re.compile(r"(?P<name>[A-Za-z_]\w*)[\"']?\s*[=:]\s*$")
_LONGEST_NAME = 100


def without_comments(text: str) -> str:
    """The text with blanks for everything from a # to the end of its line, so that positions stay."""
    return re.sub(r"#[^\n]*", lambda comment: " " * len(comment[0]), text)


def name_before(text: str, position: int) -> str | None:
    """The name to which what begins at ``position`` is assigned, by ``NAME =``, ``NAME:`` or ``"NAME":``."""
    found = _NAME.search(text[max(0, position - _LONGEST_NAME) : position])
    return found["name"] if found else None


def bracketed(text: str, start: int, stop: int, place: str) -> str:
    """The expression from ``start`` to the bracket that closes the first one after it.

    Raises:
        GenotypeError: it doesn't end before ``stop``, or its brackets don't match.
    """
    open_brackets: list[str] = []
    for token in _TOKEN.finditer(text, start, min(stop, start + _LONGEST)):
        bracket = token[0]
        if bracket in _CLOSING:
            open_brackets.append(_CLOSING[bracket])
        elif len(bracket) == 1:
            expected = open_brackets.pop() if open_brackets else "nothing"
            if bracket != expected:
                line = text.count("\n", 0, token.start()) + 1
                raise GenotypeError(f"{place}: expected {expected} in line {line}, got {bracket}; is a line missing?")
            if not open_brackets:
                return text[start : token.end()]
        if len(open_brackets) > _DEEPEST:
            raise GenotypeError(f"{place}: expected a genotype, got {_DEEPEST} brackets in one another.")
    line = text.count("\n", 0, min(stop, start + _LONGEST)) + 1
    raise GenotypeError(
        f"{place}: expected {open_brackets[-1] if open_brackets else 'a bracket'} to close it, got its end in line "
        f"{line}; is the text truncated? Give all of it, to the last bracket."
    )
