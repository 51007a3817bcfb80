"""A command as a value: what it reads, and what it does stage by stage. All else is the same for every command."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Generic, Protocol, TypeVar

from hydra.conf import HydraConf
from omegaconf import DictConfig, OmegaConf

from dsrna.config.compose import compose
from dsrna.config.model import parts_untried
from dsrna.config.settings import RunSettings
from dsrna.distributed.launcher import follows
from dsrna.run_folder import RunFolder
from dsrna.runs.replay import replay
from dsrna.runs.request import Request, request_of
from dsrna.runs.single_process import refuse_several


class Work(Protocol):
    """What a program has opened for a job."""

    @property
    def data(self) -> str | None:
        """Digest of the images that results depend on; None: on none."""

    @property
    def first_lines(self) -> Sequence[str]:
        """What the log begins with: on what, and by which recipe."""


S = TypeVar("S", bound=RunSettings)
W = TypeVar("W", bound=Work)


@dataclass(frozen=True)
class Objective:
    """The number that a sweep maximises.

    Attributes:
        key: its name in ``run.json``.
        stage: the stage that measures it.
        read: run folder -> its value, once the stage is done.
    """

    key: str
    stage: str
    read: Callable[[RunFolder], float]


def nothing(*_: Any) -> None:
    """What a program does where it has nothing to do."""


@dataclass(frozen=True)
class Program(Generic[S, W]):
    """What a command does. Stages hand results to each other through the run folder alone.

    Attributes:
        prepare: opens tables and data, and writes nothing; raises a DsrnaError where they can't be used.
        stages: settings -> the stages in order, by name. Each may be interrupted anywhere, and begun again.
        check: called before the first stage is begun, and before anything is written: refuses what a later stage
            would refuse.
        working: what is in place while stages work, and gives them what they take (by default what was prepared);
            its second argument says whether the first of them is yet to begin.
        objective: settings -> the number that a sweep maximises; None: it is given none.
        summary: shows what came out; its third argument says whether the run was finished before.
        product: what a user looks at in the folder of a finished run.
        finish_sweep: is called with the folder of a multirun when its jobs are done.
        follow: where the function is, as ``module:name``, by which other processes take part in the stages of one that
            runs the command; None: it runs in one process.
    """

    prepare: Callable[[Request[S]], W]
    stages: Callable[[S], Mapping[str, Callable[[Any], object]]]
    check: Callable[[W], None] = nothing
    working: Callable[[W, bool], AbstractContextManager[Any]] = lambda work, begins: nullcontext(work)
    objective: Callable[[S], Objective | None] = nothing
    summary: Callable[[RunFolder, S, bool], None] = nothing
    product: Callable[[RunFolder], Path] = lambda folder: folder.path
    finish_sweep: Callable[[Path], None] = nothing
    follow: str | None = None


@dataclass(frozen=True)
class Command(Generic[S]):
    """What is run by ``python -m dsrna.NAME`` and ``dsrna NAME``.

    Attributes:
        name: of its primary config ``conf/NAME.yaml``, and the ``kind`` in ``run.json``.
        words: what follows ``dsrna`` on its command line.
        settings: its composed config -> validated settings; raises a ConfigError that lists every problem. ``dsrna
            show`` calls it within :func:`dsrna.config.model.parts_untried`.
        program: where its :class:`Program` is, as ``module:name``; imported once the settings are right.
        report: where the function is that draws the page of a run folder and returns it.
        shared: whether any number of processes may work in one folder, ``out``/``name``, where the same command always
            goes on; see :mod:`dsrna.runs.shared_life`.
    """

    name: str
    words: tuple[str, ...]
    settings: Callable[[DictConfig], S]
    program: str
    report: str = "dsrna.report:write_report"
    shared: bool = False

    @property
    def module(self) -> tuple[str, ...]:
        """What follows ``python -m`` on its command line."""
        first, *rest = self.words
        return (f"dsrna.{first}", *rest)

    def request(
        self, settings: S, config: DictConfig, of_hydra: DictConfig | HydraConf, folder: Path, again: str
    ) -> Request[S]:
        """The request for a job; see :func:`dsrna.runs.request.request_of`."""
        return request_of(self.name, self.module, settings, config, of_hydra, folder, again)

    def run(self, request: Request[S]) -> float | None:
        """Does one job; see :func:`dsrna.runs.life_cycle.run` and :func:`dsrna.runs.shared_life.run`."""
        from dsrna.runs import life_cycle, shared_life

        life = shared_life.run if self.shared else life_cycle.run
        return life(resolve_name(self.program), request)

    def follow(self) -> bool:
        """Takes part, as one of the processes that torchrun started beside the one that runs the command.

        Returns:
            Whether this process is one of them; False for the one that is to run it.

        Raises:
            ConfigError: the command runs in one process.
        """
        follow = resolve_name(self.program).follow
        if follow is None:
            refuse_several()
        elif follows(os.environ):
            resolve_name(follow)()
            return True
        return False

    def config_text(self, overrides: list[str]) -> str:
        """The config that a job would run with, as YAML; what must still be given stands there as ???.

        Raises:
            ConfigError: a key, a type or a range is wrong; found where nothing must still be given. What its parts
                refuse is found by running it.
        """
        config = compose(self.name, replay(self.name, overrides))
        if not OmegaConf.missing_keys(config):
            with parts_untried():
                self.settings(config)
        return OmegaConf.to_yaml(config, resolve=True)

    def finish_sweep(self, folder: Path) -> None:
        """Does what is left when all jobs of a multirun are done."""
        resolve_name(self.program).finish_sweep(folder)

    def draw(self, folder: Path) -> Path:
        """Draws the page of a run folder, and returns it."""
        page: Path = resolve_name(self.report)(folder)
        return page
