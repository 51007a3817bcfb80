"""The run folder of a request: a new one, or the one to go on with."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Any

from dsrna.config.launch import Request, module_of
from dsrna.errors import CheckpointError
from dsrna.run_folder import RunFolder


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
        command=shlex.join(["python", "-m", *module_of(request.kind), *request.overrides]),
    )
