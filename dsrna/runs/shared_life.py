"""The life of a run on which several processes work at once, and to which work may be added later.

Nobody holds its folder: whoever does a piece of the work holds that piece's own. Its stages see for themselves what is
left of them, so the same command goes on wherever it, or another one, stopped.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from dsrna.config.settings import Settings
from dsrna.errors import CheckpointError
from dsrna.files import write_json, write_text, writing_to
from dsrna.run_folder import RunFolder
from dsrna.run_lock import held, held_if_free
from dsrna.runs.command import Program
from dsrna.runs.folders import create
from dsrna.runs.life_cycle import computing_on, do_stages
from dsrna.runs.request import Request

_TRIES, _WAIT_SECONDS = 50, 0.1

S = TypeVar("S", bound=Settings)


def run(program: Program[S, Any], request: Request[S]) -> None:
    """Does what is left of a run.

    Raises:
        DsrnaError: with a message for the user; the folder keeps what was done.
        Interrupted: by a signal; the state is saved.
    """
    stages = program.stages(request.settings)
    device = computing_on(request.settings)
    work = program.prepare(request)
    program.check(work)
    do_stages(program, request, _opened(request, stages, device), work, True)


def _opened(request: Request[Any], stages: Iterable[str], device: str) -> RunFolder:
    """The run in the request's folder, begun or gone on with: it has the request's settings from here on."""
    folder = RunFolder(request.folder)
    with _held_for_a_moment(folder):  # two that begin at once don't both make it
        if not folder.run_json.exists():
            return create(request, stages, device)
        kind = folder.read_run()["kind"]
        if kind != request.kind:
            raise CheckpointError(
                f"{folder.path} holds a run of {kind}. Choose another folder with out=FOLDER or name=NAME. (conf: out)"
            )
        with writing_to(folder.path):
            write_text(folder.config_yaml, request.config_text)
            write_json(folder.overrides_yaml, request.overrides)
        for name in stages:
            folder.set_stage(name, "pending")
    return folder


@contextmanager
def _held_for_a_moment(folder: RunFolder) -> Iterator[None]:
    """Waits while others hold it for such a moment, too."""
    for _ in range(_TRIES):
        with held_if_free(folder.path) as refusal:
            if refusal is None:
                yield
                return
        time.sleep(_WAIT_SECONDS)
    with held(folder.path):  # says who holds it
        yield
