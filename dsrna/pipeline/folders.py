"""The run folder of a request, a new one or the one to go on with, and what stages note in it."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable, Iterable
from typing import Any

from dsrna.config.launch import Request, module_of
from dsrna.errors import CheckpointError
from dsrna.run_folder import RunFolder

log = logging.getLogger("dsrna")


def unfinished(request: Request[Any]) -> RunFolder | None:
    """The run in the request's folder, for going on with it; None where there is none."""
    if not RunFolder(request.folder).run_json.exists():
        return None
    folder = RunFolder.open(request.folder)
    if folder.read_run()["fingerprint"] != request.fingerprint:
        raise CheckpointError(
            f"{request.folder} holds a run with other settings. Choose another folder with out=FOLDER, or give the "
            "same settings. (conf: out)"
        )
    if request.settings.resume != "auto":
        raise CheckpointError(f"{request.folder} holds a run already. Continue it with resume=auto. (conf: resume)")
    for half_written in folder.path.rglob(".*.part*"):  # a killed process left it, see dsrna.files
        half_written.unlink()
    return folder


def create(request: Request[Any], stages: Iterable[str], device: str) -> RunFolder:
    """A new run in the request's folder."""
    return RunFolder.create(
        request.folder,
        kind=request.kind,
        fingerprint=request.fingerprint,
        config_text=request.config_text,
        overrides=request.overrides,
        stages=list(stages),
        device=device,
        command=shlex.join(["python", "-m", *module_of(request.kind), *request.config_folders, *request.overrides]),
    )


def do_stage(folder: RunFolder, name: str, work: Callable[[], None], resume_command: str) -> None:
    """Does one stage and notes in run.json how it went; a stage that is done isn't done again."""
    noted = folder.read_run()["stages"][name]
    if noted["state"] == "done":
        return
    began, before = time.monotonic(), float(noted.get("seconds", 0.0))

    def note(state: Any) -> None:
        folder.set_stage(name, state, before + time.monotonic() - began)

    note("running")
    try:
        work()
    except KeyboardInterrupt:
        note("interrupted")
        log.warning("Interrupted; what was done is in %s. To go on:\n  %s", folder.path, resume_command)
        raise
    except BaseException:
        note("failed")
        raise
    note("done")
