"""The run folder of a request, a new one or the one to go on with, and what stages note in it."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from dsrna.config.settings import TrainerSettings
from dsrna.errors import CheckpointError, DsrnaError
from dsrna.files import is_full, writing_to
from dsrna.interruption import Interrupted, stop_if_asked
from dsrna.run_folder import RunFolder, StageState
from dsrna.run_lock import refuse_others
from dsrna.runs.logs import logging_to
from dsrna.runs.request import Request

log = logging.getLogger("dsrna")


def unfinished(request: Request[Any]) -> RunFolder | None:
    """The run in the request's folder, for going on with it; None where there is none.

    Raises:
        CheckpointError: another process is at work there, it is a run with other settings, or no run may be continued.
    """
    if not RunFolder(request.folder).run_json.exists():
        return None
    refuse_others(request.folder)
    folder = RunFolder.open(request.folder)
    if folder.read_run()["fingerprint"] != request.fingerprint:
        raise CheckpointError(
            f"{request.folder} holds a run with other settings. Choose another folder with out=FOLDER, or give the "
            "same settings. (conf: out)"
        )
    if request.settings.resume != "auto":
        raise CheckpointError(f"{request.folder} holds a run already. Continue it with resume=auto. (conf: resume)")
    return folder


def check_data(folder: RunFolder, digest: str) -> None:
    """Raises CheckpointError where a run was begun on other images than those with this digest."""
    noted = folder.read_run().get("data")
    if noted is not None and noted != digest:
        raise CheckpointError(
            f"{folder.path} holds a run on other images: their digest was {noted}, now it is {digest}. Bring those "
            "images back, or begin a run on these in another folder with out=FOLDER. (conf: data)"
        )


def create(request: Request[Any], stages: Iterable[str], device: str, data: str | None = None) -> RunFolder:
    """A new run in the request's folder; ``data`` is the digest of its images."""
    trainer: TrainerSettings | None = getattr(request.settings, "trainer", None)
    return RunFolder.create(
        request.folder,
        kind=request.kind,
        fingerprint=request.fingerprint,
        config_text=request.config_text,
        overrides=request.overrides,
        stages=list(stages),
        device=device,
        data=data,
        command=shlex.join(["python", "-m", *request.module, *request.config_folders, *request.overrides]),
        rehearsal=trainer is not None and trainer.limits.any,
        choices=request.choices,
    )


@contextmanager
def at_work(folder: RunFolder, request: Request[Any]) -> Iterator[None]:
    """Inside, messages go to the folder's log; where a signal ends the work, the last one says how to go on.

    Raises:
        ConfigError: there is no room for a file of the run's.
    """
    with logging_to(folder.run_log):
        log.info("run folder: %s", folder.path)
        try:
            yield
        except Interrupted:
            log.warning("What was done is in %s. To go on:\n  %s", folder.path, request.resume_command)
            raise
        except OSError as error:
            if not is_full(error):
                raise
            with writing_to(folder.path):
                raise


def do_stage(folder: RunFolder, name: str, work: Callable[[], object]) -> None:
    """Does one stage and notes in run.json how it went; a stage that is done isn't done again.

    A stage is done when all of its work is, and not before: what is noted is what a resumed run goes by.
    """
    noted = folder.read_run()["stages"].get(name, {})
    if noted.get("state") == "done":
        return
    began, before = time.monotonic(), float(noted.get("seconds", 0.0))

    def note(state: StageState) -> None:
        folder.set_stage(name, state, before + time.monotonic() - began)

    try:
        stop_if_asked()
        note("running")
        work()
    except Interrupted:
        note("interrupted")
        log.warning("Interrupted in the %s stage.", name)
        raise
    except BaseException:
        with suppress(DsrnaError):  # what went wrong first is what the user must hear of, a full disk above all
            note("failed")
        raise
    note("done")
