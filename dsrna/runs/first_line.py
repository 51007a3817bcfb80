"""How the log of a run begins: on which data, against which threat."""

from __future__ import annotations

from typing import Any

from dsrna.config.compose import key_of
from dsrna.config.usual import is_assumed
from dsrna.runs.request import Request
from dsrna.types import Threat


def data_and_threat(request: Request[Any], threat: Threat) -> str:
    """The chosen data and the threat, with a hint where nobody chose it."""
    typed = any(key_of(override).split(".")[0] == "threat" for override in request.overrides)
    choice = request.choices.get("threat", "")
    guessed = choice and not typed and is_assumed("threat", choice, request.config_folders)
    hint = " (assumed of your own data; threat=NAME or threat.eps=EPS says another)" if guessed else ""
    return f"data {request.choices.get('data', '')}, threat {threat.label}{hint}"
